//! What the agent does.

use crate::screen::Screen;
use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chaperone_test_harness::issuer::Claims;
use chaperone_test_harness::process::eventually;
use chaperone_test_harness::stage::Stage;
use hyper::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// Where the demo works.
pub const NAMESPACE: &str = "chaperone-demo";
/// What the agent removes.
pub const OLD_NAMESPACE: &str = "chaperone-demo-old";
/// The value that the agent must not see.
pub const VALUE: &str = "correct-horse-battery-staple";
/// What it sees in its place.
pub const REPLACEMENT: &str = "[masked by chaperone]";

/// One kubectl command, and how it went.
pub struct Step {
    /// kubectl's arguments.
    pub arguments: &'static str,
    /// The verb and resource by which the record knows it; none where it must have been refused for its token.
    pub recorded: Option<(&'static str, &'static str)>,
    /// Exit status 0.
    pub success: bool,
    /// Everything that kubectl printed.
    pub output: String,
}

impl Step {
    /// The terminal, as the agent saw it.
    pub fn seen(&self) -> String {
        format!("$ kubectl {}\n{}", self.arguments, self.output.trim_end())
    }
}

const MANIFEST: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: release}
data: {version: \"42\"}
";

/// Makes what the session works with, past the gateway.
pub async fn prepare(stage: &Stage) -> Result<()> {
    let direct = stage.direct()?;
    for name in [NAMESPACE, OLD_NAMESPACE] {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let answer = direct.send_json(Method::POST, "/api/v1/namespaces", &namespace).await?;
        ensure!([201, 409].contains(&answer.status), "namespace {name}: {}", answer.text());
    }
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"},
                        "data": {"password": STANDARD.encode(VALUE)}});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
                     "spec": {"containers": [{"name": "web", "image": "registry.k8s.io/pause:3.10"}]}});
    for (resource, object) in [("secrets", secret), ("pods", pod)] {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/{resource}");
        // In a new namespace of a real cluster the default service account comes a moment later.
        let made = async || {
            let answer = direct.send_json(Method::POST, &path, &object).await.ok()?;
            [201, 409].contains(&answer.status).then_some(())
        };
        eventually(&format!("{resource} in {NAMESPACE}"), Duration::from_secs(20), made).await?;
    }
    Ok(())
}

/// Who may do what: Secrets are removed by people.
pub fn access() -> Value {
    json!({"rules": [{
        "effect": "deny",
        "name": "secrets-stay",
        "verbs": ["delete", "deletecollection"],
        "resources": ["secrets"],
        "message": "Secrets are removed by people: ask in #shop-operations.",
    }]})
}

/// A command of the script.
pub struct Command {
    arguments: &'static str,
    recorded: Option<(&'static str, &'static str)>,
    expired: bool,
}

const fn command(arguments: &'static str, verb: &'static str, resource: &'static str) -> Command {
    Command { arguments, recorded: Some((verb, resource)), expired: false }
}

/// What the agent does about each prompt.
pub const PARTS: [&[Command]; 2] = [
    &[
        command("get pods -n chaperone-demo", "list", "pods"),
        command("get secret db -n chaperone-demo -o yaml", "get", "secrets"),
        command("create -n chaperone-demo -f release.yaml", "create", "configmaps"),
        Command { arguments: "get pods -n chaperone-demo", recorded: None, expired: true },
    ],
    &[
        command(
            r#"patch configmap release -n chaperone-demo --type=merge -p {"data":{"version":"43"}}"#,
            "patch",
            "configmaps",
        ),
        command("delete secret db -n chaperone-demo", "delete", "secrets"),
        command("delete namespace chaperone-demo-old --wait=false", "delete", "namespaces"),
    ],
];

/// Plays a part of the session.
pub async fn play(
    stage: &Stage,
    screen: &mut Screen,
    claims: &Claims,
    part: &'static [Command],
) -> Result<Vec<Step>> {
    let valid = stage.kubectl("agent", Some(&stage.issuer.mint(claims)))?;
    let expired = claims.clone().expired_ago(Duration::from_secs(600));
    let expired = stage.kubectl("agent-expired", Some(&stage.issuer.mint(&expired)))?;
    stage.dir().write("release.yaml", MANIFEST)?;
    let mut steps = Vec::new();
    for Command { arguments, recorded, expired: with_expired } in part {
        screen.prompt(arguments);
        let printed = if *with_expired { &expired } else { &valid }.run(arguments).await?;
        let output = format!("{}{}", printed.out, without_log_lines(&printed.err));
        screen.output(&output);
        steps.push(Step { arguments, recorded: *recorded, success: printed.success, output });
    }
    Ok(steps)
}

/// Checks what the agent saw.
pub async fn check(stage: &Stage, screen: &mut Screen, steps: &[Step]) -> Result<()> {
    let [pods, secret, write, expired, edit, refused, removal] = steps else { unreachable!("seven steps") };
    screen.check("it sees its pods", pods.success && pods.output.contains("web"));
    screen.check(
        "the Secret's value is masked, and is still valid base64",
        secret.output.contains(&format!("password: {}", STANDARD.encode(REPLACEMENT))),
    );
    screen.check(
        "the value itself is nowhere in what it saw",
        steps
            .iter()
            .all(|step| !step.output.contains(VALUE) && !step.output.contains(&STANDARD.encode(VALUE))),
    );
    screen.check("it writes a ConfigMap and changes it", write.success && edit.success);
    let there = stage.direct()?.get(&format!("/api/v1/namespaces/{NAMESPACE}/configmaps/release")).await?;
    screen.check("the API server has it", there.json()["data"]["version"] == "43");
    screen.check(
        "an expired token is refused",
        !expired.success && expired.output.contains("You must be logged in to the server"),
    );
    screen.check(
        "it may not remove the Secret, and is told why",
        !refused.success && refused.output.contains("Secrets are removed by people"),
    );
    let kept = stage.direct()?.get(&format!("/api/v1/namespaces/{NAMESPACE}/secrets/db")).await?;
    screen.check("the Secret is still there", kept.status == 200);
    screen.check("it removes a namespace", removal.success);
    Ok(())
}

/// kubectl logs a line for every attempt at discovery.
fn without_log_lines(text: &str) -> String {
    let log_line = |line: &&str| {
        let mut letters = line.chars();
        !(letters.next().is_some_and(|level| "EWI".contains(level))
            && letters.next().is_some_and(|c| c.is_ascii_digit()))
    };
    text.lines().filter(log_line).map(|line| format!("{line}\n")).collect()
}

/// Removes what the demo made; on a cluster of one's own it would stay.
pub async fn clean_up(stage: &Stage) {
    let Ok(direct) = stage.direct() else { return };
    for name in [NAMESPACE, OLD_NAMESPACE] {
        // Whatever fails here is left to the cluster's owner; the demo is over.
        let _ = direct.send_json(Method::DELETE, &format!("/api/v1/namespaces/{name}"), &json!({})).await;
    }
}
