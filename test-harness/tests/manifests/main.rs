//! What is in `filter-config/` for Kubernetes: accepted by a real API server that knows Istio's resources, with nothing
//! dropped on the way; good by the filter's own validation; and the chart says the same as the plain manifests.
//!
//! No Istio runs here. What its resources become in Envoy was read in its source and is built by hand, in `gateway`.

mod cluster;
mod envoy;
mod files;
mod fit;
mod gateway;
mod helm;
mod rules;

use anyhow::{Context as _, Result, ensure};
use chaperone_test_harness::kube::Assets;
use chaperone_test_harness::process::{Process, WorkDir, built};
use cluster::Cluster;
use files::{Object, in_folder, name};
use serde_json::{Value, json};
use std::time::Duration;

/// Says loudly what is not tested here; in CI that is a failure.
fn skipped(what: &str) {
    eprintln!("\n!!! SKIPPED: {what}. !!!\n");
    assert!(std::env::var("CI").as_deref() != Ok("true"), "CI must test with everything: {what}");
}

/// A manifest with one thing wrong, and what the API server says to it.
struct Wrong {
    what: &'static str,
    kind: &'static str,
    pointer: &'static str,
    value: Value,
    refusal: &'static str,
}

/// Each is one of the manifests with one value changed or added.
fn wrong() -> Vec<Wrong> {
    let row = |what, kind, pointer, value, refusal| Wrong { what, kind, pointer, value, refusal };
    vec![
        row(
            "an unknown failStrategy",
            "WasmPlugin",
            "/spec/failStrategy",
            json!("FAIL_SOFT"),
            "Unsupported value",
        ),
        row("an unknown phase", "WasmPlugin", "/spec/phase", json!("FIRST"), "Unsupported value"),
        row("a digest that is none", "WasmPlugin", "/spec/sha256", json!("latest"), "should match"),
        row("no URL", "WasmPlugin", "/spec/url", Value::Null, "url"),
        row(
            "a variable from nowhere",
            "WasmPlugin",
            "/spec/vmConfig/env/0/valueFrom",
            json!("SECRET"),
            "Unsupported value",
        ),
        row(
            "a misspelt field of a filter",
            "WasmPlugin",
            "/spec/failstrategy",
            json!("FAIL_RELOAD"),
            "unknown field",
        ),
        row(
            "a misspelt field of a route",
            "VirtualService",
            "/spec/http/0/timeouts",
            json!("0s"),
            "unknown field",
        ),
        row("an unknown TLS mode", "Gateway", "/spec/servers/0/tls/mode", json!("NONE"), "Unsupported value"),
        row(
            "a misspelt field of TLS",
            "DestinationRule",
            "/spec/trafficPolicy/tls/caCertificate",
            json!("/ca.crt"),
            "unknown field",
        ),
        row(
            "an unknown patch",
            "EnvoyFilter",
            "/spec/configPatches/0/patch/operation",
            json!("SET"),
            "Unsupported value",
        ),
        row(
            "a policy for nothing known",
            "NetworkPolicy",
            "/spec/policyTypes/0",
            json!("Outgress"),
            "Unsupported value",
        ),
        row("a deployment without selector", "Deployment", "/spec/selector", Value::Null, "selector"),
        row(
            "a misspelt field of a pod",
            "Deployment",
            "/spec/template/spec/volume",
            json!([]),
            "unknown field",
        ),
    ]
}

#[tokio::test]
async fn manifests_are_accepted_by_a_real_api_server() {
    let Some(assets) = Assets::find() else {
        return skipped("no real kube-apiserver here; `make kube-assets` gets one");
    };
    let Some(definitions) = files::istio_definitions() else {
        return skipped("no custom resource definitions of Istio's; ISTIO_CRDS may name the file");
    };
    if let Err(error) = accepted(&assets, &definitions).await {
        panic!("{error:#}");
    }
}

async fn accepted(assets: &Assets, definitions: &str) -> Result<()> {
    let dir = WorkDir::new()?;
    let cluster = Cluster::start(assets, definitions, &dir).await?;
    let mut failures = Vec::new();
    let mut count = 0;
    let manifests = files::istio()?;
    let rendered = helm::renderings(&dir).await?;
    for object in manifests.iter().chain(&rendered) {
        if let Err(error) = cluster.takes(object).await {
            failures.push(format!("{}: {error:#}", name(object)));
        }
        count += 1;
    }
    for row in wrong() {
        let mut object =
            manifests.iter().find(|object| object["kind"] == row.kind).cloned().unwrap_or_default();
        files::change(&mut object, row.pointer, row.value)?;
        match cluster.refuses(&object).await {
            Ok(said) if said.contains(row.refusal) => println!("refused: {}: {}", row.what, said.trim()),
            Ok(said) => failures.push(format!("{}: {said}", row.what)),
            Err(error) => failures.push(format!("{}: {error:#}", row.what)),
        }
    }
    // The comparison itself: where nothing validates, an unknown field is dropped without a word.
    let mut dropped =
        manifests.iter().find(|object| object["kind"] == "WasmPlugin").cloned().unwrap_or_default();
    files::change(&mut dropped, "/spec/failstrategy", json!("FAIL_RELOAD"))?;
    ensure!(cluster.drops(&dropped).await?.contains("failstrategy"), "a dropped field is not noticed");
    helm::lives(cluster.kubectl(), &dir).await.context("the chart")?;
    cluster.stop().await?;
    ensure!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    println!("{count} objects accepted, nothing of them dropped.");
    dir.remove();
    Ok(())
}

#[tokio::test]
async fn filter_configurations_are_good_and_nothing_fails_open() -> Result<()> {
    let dir = WorkDir::new()?;
    let mut objects = files::istio()?;
    objects.extend(in_folder("envoy-gateway")?);
    objects.extend(helm::renderings(&dir).await?);
    let mut checked = 0;
    objects.push(files::with_token_for_each_agent()?);
    for object in &objects {
        let Some(config) = filter_config(object) else { continue };
        let file = dir.write("config.json", config.to_string())?;
        let mut command = Process::command(built("chaperone")?);
        command.args(["config", "check"]).arg(&file);
        let output = command.output().await?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "{}: {said}", name(object));
        checked += 1;
    }
    ensure!(checked >= 3, "{checked} configurations were checked");
    for object in &objects {
        ensure!(!object.to_string().contains("FAIL_OPEN"), "{} fails open", name(object));
        if object["kind"] == "WasmPlugin" {
            let strategy = object.pointer("/spec/failStrategy").and_then(Value::as_str);
            ensure!(matches!(strategy, Some("FAIL_RELOAD" | "FAIL_CLOSE")), "{}: {strategy:?}", name(object));
            ensure!(object.pointer("/spec/sha256").is_some(), "{} takes any module", name(object));
        }
        for wasm in object.pointer("/spec/wasm").and_then(Value::as_array).into_iter().flatten() {
            ensure!(wasm["failOpen"] == false, "{} may fail open", name(object));
            ensure!(wasm["code"]["sha256"].is_string(), "{} takes any module", name(object));
        }
    }
    dir.remove();
    Ok(())
}

/// The FilterConfig in an Istio or Envoy Gateway resource.
fn filter_config(object: &Object) -> Option<&Value> {
    object.pointer("/spec/pluginConfig").or_else(|| object.pointer("/spec/wasm/0/config"))
}

/// How long one program may take.
const PATIENCE: Duration = Duration::from_secs(60);
