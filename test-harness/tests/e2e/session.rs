//! An agent's session with kubectl: what it sees, and what the auditor sees of it.

use crate::support::{MASK, VALUE, did, exchanges, no_leak, verified};
use anyhow::{Result, ensure};
use chaperone_test_harness::stage::Stage;
use std::fs;

pub const CONCURRENCY: u32 = 1;

pub async fn checks(stage: &mut Stage) -> Result<()> {
    let token = stage.issuer.mint(&stage.agent("alice@example.com", "session-1"));
    let kubectl = stage.kubectl("alice", Some(&token))?;

    // What the agent sees.
    for (arguments, expected) in [
        ("get pods -n orders", "web-1"),
        ("get secret db -n orders -o yaml", MASK),
        ("get secret db -n orders -o json", MASK),
        ("get secrets -n orders", "Opaque"),
        ("get secrets -A -o wide", "Opaque"),
        ("get secrets -n orders -o yaml", MASK),
        ("describe secret db -n orders", "password:  21 bytes"),
    ] {
        let out = kubectl.run(arguments).await?.ok()?;
        ensure!(out.contains(expected), "kubectl {arguments}: no {expected:?} in {out}");
        no_leak(arguments, &out)?;
    }
    for (arguments, manifest, expected) in [
        ("apply -n orders -f -", CONFIGMAP, "configmap/settings created"),
        ("apply -n orders -f -", CONFIGMAP, "configmap/settings unchanged"),
        ("create -f -", NAMESPACE, "namespace/scratch created"),
        ("delete namespace scratch --wait=false", "", "namespace \"scratch\" deleted"),
    ] {
        let out = kubectl.feed(arguments, manifest).await?.ok()?;
        ensure!(out.contains(expected), "kubectl {arguments}: no {expected:?} in {out}");
    }
    // kubectl's typed calls send protobuf.
    for (arguments, expected) in [
        ("create configmap typed --from-literal=color=blue -n orders", "configmap/typed created"),
        ("create secret generic typed --from-literal=color=blue -n orders", "secret/typed created"),
    ] {
        let out = kubectl.run(arguments).await?.ok()?;
        ensure!(out.contains(expected), "kubectl {arguments}: no {expected:?} in {out}");
    }

    // The bodies as they come, in every form that a client may ask for.
    let client = stage.client()?.with_token(&token);
    for (accept, kind) in [
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "Table"),
        ("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", "PartialObjectMetadataList"),
        ("application/json", "SecretList"),
        (PROTOBUF, ""),
        ("application/yaml", ""),
    ] {
        for query in ["", "?includeObject=Object"] {
            let path = format!("/api/v1/namespaces/orders/secrets{query}");
            let answer = client.get_as(&path, accept).await?;
            if accept == PROTOBUF && !stage.is_real() {
                ensure!(answer.status == 406, "{accept}: {}", answer.status);
                continue;
            }
            ensure!(answer.status == 200, "{accept}: {}", answer.text());
            ensure!(kind.is_empty() || answer.json()["kind"] == kind, "{accept}: {}", answer.text());
            ensure!(answer.text().contains("db"), "{accept}: no db in {}", answer.text());
            no_leak(accept, &answer.body)?;
        }
    }

    // A masked value that is written back would destroy the Secret.
    let manifest = kubectl.run("get secret db -n orders -o json").await?.ok()?;
    let refused = kubectl.feed("replace -n orders -f -", &manifest).await?.refused()?;
    ensure!(refused.contains("password"), "{refused}");
    let kept = stage.direct()?.get("/api/v1/namespaces/orders/secrets/db").await?.text();
    ensure!(!kept.contains(MASK), "the mask was written into the Secret");

    the_record(stage).await?;
    no_token_anywhere(stage, &token).await
}

/// The stand-in has none.
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

const CONFIGMAP: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {color: blue}
";

const NAMESPACE: &str = "{apiVersion: v1, kind: Namespace, metadata: {name: scratch}}";

/// What the auditor sees.
async fn the_record(stage: &Stage) -> Result<()> {
    let all = exchanges(stage, "session-1", |all| {
        !did(all, "update", "secrets").is_empty()
            && all.iter().all(|exchange| exchange["state"] != "incomplete")
    })
    .await?;
    let create = did(&all, "create", "configmaps")[0];
    for (pointer, expected) in [
        ("/user/username", "alice@example.com"),
        ("/user/groups/0", "developers"),
        ("/attribution/model/value", "claude-opus-4-5"),
        ("/attribution/model/source", "claim:model"),
        ("/attribution/agent/value", "deploy-bot"),
        ("/session", "session-1"),
        ("/delivery", "confirmed"),
        ("/state", "complete"),
        ("/objectRef/namespace", "orders"),
    ] {
        let got = create.pointer(pointer).and_then(|value| value.as_str());
        ensure!(got == Some(expected), "{pointer}: expected {expected}, got {got:?} in {create}");
    }
    ensure!(create["attribution"]["prompt"]["verified"] == true, "{create}");
    ensure!(create["responseStatus"]["code"] == 201, "{create}");
    for exchange in &all {
        ensure!(exchange["verified"] == true, "not verified: {exchange}");
    }
    let refused = did(&all, "update", "secrets")[0];
    ensure!(refused["state"] == "refused" && refused["responseStatus"]["code"] == 422, "{refused}");

    // Every request that was answered reached the API server as the gateway, and under the id that is in the record.
    let arrivals = stage.arrivals();
    for exchange in all.iter().filter(|exchange| exchange["state"] == "complete") {
        let arrival = arrivals.iter().find(|arrival| exchange["exchange"] == *arrival.audit_id);
        ensure!(
            arrival.is_some_and(|arrival| arrival.user == stage.upstream_user()),
            "{arrival:?} for {exchange}"
        );
    }

    let replay = stage.collector.run(&["replay", "session-1"]).await?;
    for step in [
        "read Secret db in orders",
        "listed pods in orders",
        "deleted namespace scratch",
        "model     claude-opus-4-5",
    ] {
        ensure!(replay.contains(step), "no {step:?} in\n{replay}");
    }
    no_leak("replay", stage.collector.run(&["replay", "session-1", "--all", "--bodies"]).await?)?;
    verified(stage).await
}

/// Neither the agent's token nor the injected one, nor the Secret's value, is anywhere but where it belongs.
async fn no_token_anywhere(stage: &Stage, token: &str) -> Result<()> {
    let mut database = Vec::new();
    for suffix in ["", "-wal"] {
        let mut path = stage.collector.database().as_os_str().to_owned();
        path.push(suffix);
        database.extend(fs::read(path).unwrap_or_default());
    }
    let admin = stage.envoy.admin();
    let places = [
        ("the collector's database", database),
        ("Envoy's log", stage.envoy.log().into_bytes()),
        ("Envoy's stats", admin.get("/stats").await?.body.to_vec()),
        ("Envoy's configuration dump", admin.get("/config_dump").await?.body.to_vec()),
    ];
    let signature = token.rsplit('.').next().unwrap_or_default();
    let signing_key = stage.collector.signing_key()?;
    let secrets = [
        ("the agent's token", signature),
        ("the injected token", stage.upstream_token()),
        ("the collector's token", stage.collector.ingest_token()),
        ("the signing key", signing_key.lines().nth(1).unwrap_or_default()),
        ("the Secret's value", VALUE),
    ];
    for (place, bytes) in &places {
        ensure!(!bytes.is_empty(), "nothing in {place}");
        for (secret, needle) in secrets {
            let found = bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
            ensure!(!found, "{secret} is in {place}");
        }
    }
    Ok(())
}
