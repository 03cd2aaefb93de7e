//! A recorded session as a server: the demo's own commands against a recording of themselves, and others.

use crate::support::{exchanges, run_on};
use anyhow::{Context as _, Result, ensure};
use chaperone_test_harness::kubectl::{Kubectl, Printed};
use chaperone_test_harness::process::Process;
use chaperone_test_harness::stage::{ApiKind, Stage};
use serde_json::{Value, json};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// What `make demo` has its agent do, in the namespace that the stage is prepared with.
const SCRIPT: [&str; 4] = [
    "get pods -n orders",
    "get secret db -n orders -o yaml",
    "create -n orders -f release.yaml",
    "delete configmap release -n orders --wait=false",
];

const MANIFEST: &str = "{apiVersion: v1, kind: ConfigMap, metadata: {name: release}, data: {version: '42'}}";

/// Recorded with the policy that filters have by default, and with the bodies of discovery too.
#[tokio::test]
async fn a_recording_answers_kubectl_as_the_api_server_did() {
    against(ApiKind::StandIn).await;
}

#[tokio::test]
async fn a_recording_of_a_real_kube_apiserver_does_too() {
    if let Some(api) = crate::real() {
        against(api).await;
    }
}

async fn against(api: ApiKind) {
    let everything = json!([{"level": "RequestResponse", "delivery": "Buffered"}]);
    for (name, rules) in [("the default policy", None), ("everything with bodies", Some(everything))] {
        let mut builder = Stage::builder(api.clone());
        if let Some(rules) = rules {
            builder = builder.filter("/recording/rules", rules);
        }
        run_on(builder, async |stage| checks(stage).await.with_context(|| name)).await;
    }
}

async fn checks(stage: &mut Stage) -> Result<()> {
    stage.dir().write("release.yaml", MANIFEST)?;
    let token = stage.issuer.mint(&stage.agent("alice@example.com", "recorded"));
    let agent = stage.kubectl("agent", Some(&token))?;
    let recorded = play(&agent, &SCRIPT).await?;
    ensure!(recorded.iter().all(|printed| printed.success), "the script itself failed: {recorded:?}");
    exchanges(stage, "recorded", |all| {
        all.iter().any(|one| one["verb"] == "delete") && all.iter().all(|one| one["state"] != "incomplete")
    })
    .await?;

    // The same script: the same outputs, and nothing left over. It ends by itself.
    let replay = Replay::start(stage, "same").await?;
    for ((command, then), now) in
        SCRIPT.iter().zip(&recorded).zip(play(&replay.kubectl(stage, "same")?, &SCRIPT).await?)
    {
        ensure!(
            (now.success, &now.out, &now.err) == (then.success, &then.out, &then.err),
            "kubectl {command} printed\n{}{}instead of\n{}{}",
            now.out,
            now.err,
            then.out,
            then.err
        );
    }
    let (code, report) = replay.report().await?;
    ensure!(code == Some(0) && report["departure"].is_null(), "{report}");
    ensure!(report["recorded"] == report["followed"] && report["recorded"] != 0, "{report}");

    // Another script: it is told where it left the record.
    let replay = Replay::start(stage, "other").await?;
    let kubectl = replay.kubectl(stage, "other")?;
    let other = ["get pods -n orders", "get configmap release -n orders"];
    let printed = play(&kubectl, &other).await?;
    ensure!(printed[0].out == recorded[0].out, "{:?}", printed[0]);
    ensure!(
        printed[1].err.contains(
            "chaperone replay: not in the record: GET /api/v1/namespaces/orders/configmaps/release"
        ),
        "{:?}",
        printed[1]
    );
    let (code, report) = replay.stopped().await?;
    ensure!(code == Some(1) && report["followed"] == 1, "{report}");
    let departure = report["departure"].to_string();
    ensure!(
        departure.contains("read Secret db in orders")
            && departure.contains("GET /api/v1/namespaces/orders/configmaps/release"),
        "{report}"
    );
    ensure!(report["notInRecord"].as_array().is_some_and(|all| all.len() == 1), "{report}");
    ensure!(report["notMade"].as_array().is_some_and(|all| all.len() >= 3), "{report}");
    Ok(())
}

async fn play(kubectl: &Kubectl, script: &[&str]) -> Result<Vec<Printed>> {
    let mut printed = Vec::new();
    for command in script {
        printed.push(kubectl.run(command).await?);
    }
    Ok(printed)
}

/// `chaperone replay --serve`, on a free port.
struct Replay {
    child: tokio::process::Child,
    server: String,
}

impl Replay {
    async fn start(stage: &Stage, name: &str) -> Result<Self> {
        let kubeconfig = stage.dir().path(format!("{name}.replay"));
        let mut command = Command::new(stage.collector.program());
        command
            .args(["replay", "recorded", "--serve", "127.0.0.1:0", "--once", "-o", "json"])
            .arg("--write-kubeconfig")
            .arg(&kubeconfig)
            .env("CHAPERONE_DATABASE", stage.collector.database())
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let child = command.spawn()?;
        let server = async || {
            let config: Value = serde_json::from_slice(&std::fs::read(&kubeconfig).ok()?).ok()?;
            Some(config["clusters"][0]["cluster"]["server"].as_str()?.to_owned())
        };
        let server =
            chaperone_test_harness::process::eventually("a kubeconfig", Duration::from_secs(20), server)
                .await?;
        Ok(Self { child, server })
    }

    fn kubectl(&self, stage: &Stage, name: &str) -> Result<Kubectl> {
        Kubectl::new(&format!("replay-{name}"), &self.server, stage.authority(), Some("replay"), stage.dir())
    }

    /// Its exit status and report, once it ended by itself.
    async fn report(self) -> Result<(Option<i32>, Value)> {
        let output = tokio::time::timeout(Duration::from_secs(20), self.child.wait_with_output()).await??;
        Ok((output.status.code(), serde_json::from_slice(&output.stdout)?))
    }

    /// The same, told to end as Ctrl-C does.
    async fn stopped(self) -> Result<(Option<i32>, Value)> {
        let id = self.child.id().context("it ended")?;
        ensure!(Process::command("kill").args(["-INT", &id.to_string()]).status().await?.success());
        self.report().await
    }
}
