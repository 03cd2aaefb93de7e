//! The chart, linted and rendered by helm.

use anyhow::{Context as _, Result, bail, ensure};
use chaperone_test_harness::kubectl::Kubectl;
use chaperone_test_harness::process::{Process, WorkDir};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tokio::time::timeout;

use crate::files::{Object, change, folder, in_folder, name, parse};
use crate::{PATIENCE, skipped};

/// What `scripts/helm` brings.
const VERSION: &str = "v4.1.4";
const NAMESPACE: &str = "chaperone";

fn program() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("HOME")?;
        Some(Path::new(&home).join(".cache"))
    });
    let program = cache?.join(format!("chaperone/helm/helm-{VERSION}"));
    program.exists().then_some(program)
}

/// The values that have no default, as in the plain manifests.
fn values() -> Value {
    json!({
        "filter": {"url": "oci://registry.example.com/chaperone/filter:0.1.0", "sha256": "0".repeat(64)},
        "issuer": {"url": "https://idp.example.com", "audiences": ["kubernetes"], "host": "idp.example.com"},
        "collector": {"image": "registry.example.com/chaperone/collector:0.1.0"},
    })
}

/// Those, with one value changed.
fn with(pointer: &str, value: Value) -> Result<Value> {
    let mut values = values();
    let mut at = &mut values;
    let (parents, _) = pointer.rsplit_once('/').context("a pointer")?;
    for parent in parents.split('/').skip(1) {
        at = at.as_object_mut().context("an object")?.entry(parent).or_insert_with(|| json!({}));
    }
    change(&mut values, pointer, value)?;
    Ok(values)
}

async fn helm(program: &Path, arguments: &[&str], values: &Value, dir: &WorkDir) -> Result<(bool, String)> {
    let file = dir.write("values.json", values.to_string())?;
    let mut command = Process::command(program);
    command.args(arguments).arg(folder("helm/chaperone")).arg("--values").arg(file);
    command.env("HELM_CACHE_HOME", dir.path("helm")).env("HELM_CONFIG_HOME", dir.path("helm"));
    let output = timeout(PATIENCE, command.output()).await??;
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        said.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    Ok((output.status.success(), said))
}

async fn render(program: &Path, values: &Value, dir: &WorkDir) -> Result<Vec<Object>> {
    match helm(program, &["template", "chaperone", "--namespace", NAMESPACE], values, dir).await? {
        (true, manifests) => parse(&manifests),
        (false, said) => bail!("{said}"),
    }
}

/// Values of every kind, other than the plain manifests'.
fn variants() -> Result<Vec<Value>> {
    Ok(vec![
        with(
            "/apiServer",
            json!({"host": "api.cluster.example.com", "port": 6443, "serverName": "api.cluster.example.com",
                   "external": true, "caConfigMap": "chaperone-upstream-ca"}),
        )?,
        with("/gateway", json!({"replicas": 3, "serviceType": "LoadBalancer", "tlsSecret": "wildcard"}))?,
        with("/filter/failStrategy", json!("FAIL_CLOSE"))?,
        with("/filter/imagePullSecret", json!("registry"))?,
        with("/collector/storageClass", json!("fast"))?,
        with("/networkPolicies", json!({"agents": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]}))?,
        with("/networkPolicies/enabled", json!(false))?,
        with(
            "/config",
            json!({"masking": {"patterns": {"enable": ["jwt"]}}, "recording": {"onFull": "gap"},
                   "credential": {"impersonate": true}}),
        )?,
    ])
}

/// What the chart renders to with other values than the plain manifests'. Nothing where there is no helm.
pub async fn renderings(dir: &WorkDir) -> Result<Vec<Object>> {
    let mut objects = Vec::new();
    if let Some(program) = program() {
        for values in variants()? {
            for object in render(&program, &values, dir).await.with_context(|| values.to_string())? {
                if !objects.contains(&object) {
                    objects.push(object);
                }
            }
        }
    }
    Ok(objects)
}

/// The chart is installed, upgraded to another module and rolled back. Nothing where there is no helm.
pub async fn lives(kubectl: &Kubectl, dir: &WorkDir) -> Result<()> {
    let Some(program) = program() else { return Ok(()) };
    let digest = async || {
        let wanted = "-n chaperone get wasmplugin chaperone -o jsonpath={.spec.sha256}";
        kubectl.run(wanted).await?.ok()
    };
    let kubeconfig = kubectl.kubeconfig().display().to_string();
    let to = ["--namespace", NAMESPACE, "--kubeconfig", &kubeconfig];
    let (first, second) = (values(), with("/filter/sha256", json!("1".repeat(64)))?);
    for (verb, values, expected) in [("install", &first, "0"), ("upgrade", &second, "1")] {
        let (good, said) = helm(&program, &[&[verb, "chaperone"], &to[..]].concat(), values, dir).await?;
        ensure!(good, "{verb}: {said}");
        ensure!(digest().await? == expected.repeat(64), "after {verb}: {}", digest().await?);
    }
    for arguments in [vec!["rollback", "chaperone"], vec!["uninstall", "chaperone"]] {
        let mut command = Process::command(&program);
        let output = timeout(PATIENCE, command.args(&arguments).args(to).output()).await??;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        if arguments[0] == "rollback" {
            ensure!(digest().await? == "0".repeat(64), "after a rollback: {}", digest().await?);
        }
    }
    println!("The chart was installed, upgraded, rolled back and uninstalled.");
    Ok(())
}

#[tokio::test]
async fn the_chart_says_what_the_plain_manifests_say() -> Result<()> {
    let Some(program) = program() else {
        skipped("no helm; `scripts/helm` gets one");
        return Ok(());
    };
    let dir = WorkDir::new()?;
    let (good, said) = helm(&program, &["lint", "--strict"], &values(), &dir).await?;
    ensure!(good, "{said}");
    let mut plain = in_folder("istio")?;
    plain.retain(|object| object["kind"] != "Namespace");
    let rendered = render(&program, &values(), &dir).await?;
    for object in &plain {
        ensure!(rendered.contains(object), "the chart has no such {}:\n{object}", name(object));
    }
    for object in &rendered {
        ensure!(plain.contains(object), "only the chart has such a {}:\n{object}", name(object));
    }
    // Another API server, as the plain manifests have it among their options.
    let external = render(&program, &variants()?.remove(0), &dir).await?;
    for object in
        crate::files::parse(&std::fs::read_to_string(folder("istio/options/external-api-server.yaml"))?)?
    {
        ensure!(external.contains(&object), "the chart has no such {}:\n{object}", name(&object));
    }
    // What `config` says is added to what the other values say.
    let configured = render(&program, &variants()?.remove(7), &dir).await?;
    let plugin = configured.iter().find(|object| object["kind"] == "WasmPlugin").context("no WasmPlugin")?;
    let config = &plugin["spec"]["pluginConfig"];
    ensure!(
        config["recording"]["onFull"] == "gap" && config["recording"]["collector"].is_object(),
        "{config}"
    );
    ensure!(config["credential"]["impersonate"] == true, "{config}");
    dir.remove();
    Ok(())
}

#[tokio::test]
async fn the_chart_refuses_what_would_be_open() -> Result<()> {
    let Some(program) = program() else {
        skipped("no helm; `scripts/helm` gets one");
        return Ok(());
    };
    let dir = WorkDir::new()?;
    for (pointer, value, said) in [
        ("/filter/failStrategy", json!("FAIL_OPEN"), "value must be one of"),
        ("/filter/failStrategy", json!("fail_reload"), "value must be one of"),
        ("/filter/failStrategy", json!(""), "value must be one of"),
        ("/filter/sha256", Value::Null, "sha256"),
        ("/filter/sha256", json!(""), "sha256"),
        ("/filter/sha256", json!("latest"), "sha256"),
        ("/filter/url", Value::Null, "url"),
        ("/filter/url", json!("http://registry.example.com/filter.wasm"), "url"),
        ("/filter/failstrategy", json!("FAIL_RELOAD"), "additional properties"),
        ("/issuer/url", Value::Null, "url"),
        ("/issuer/url", json!("http://idp.example.com"), "url"),
        ("/issuer/audiences", json!([]), "audiences"),
        ("/issuer/host", Value::Null, "host"),
        ("/collector/image", Value::Null, "image"),
        ("/collector/image", json!("chaperone"), "image"),
        ("/agents/clusterRole", json!("cluster-admin"), "clusterRole"),
        ("/networkPolicies/agents", json!([]), "agents"),
        ("/networkPolicies/agents", json!([{}]), "agents"),
        ("/gateway/serviceType", json!("NodePort"), "serviceType"),
        ("/apiServer/port", json!(0), "port"),
        ("/colour", json!("red"), "additional properties"),
    ] {
        let values = with(pointer, value.clone())?;
        let (good, printed) = helm(&program, &["template", "chaperone"], &values, &dir).await?;
        ensure!(!good && printed.contains(said), "{pointer} = {value}: {printed}");
    }
    dir.remove();
    Ok(())
}
