//! The real API server's audit log against the records: what went around the gateway is found, and nothing else.

use crate::real;
use crate::support::{SOON, created, exchanges, run};
use anyhow::{Context as _, Result, ensure};
use chaperone_test_harness::process::eventually;
use chaperone_test_harness::stage::Stage;
use hyper::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const CONFIGMAPS: &str = "/api/v1/namespaces/orders/configmaps";
const PODS: &str = "/api/v1/namespaces/orders/pods";
const AROUND: &str = "/api/v1/namespaces/orders/pods?limit=7";

#[tokio::test]
async fn what_went_around_the_gateway_is_found() {
    let Some(api) = real() else { return };
    run(api, 1, async |stage: &mut Stage| {
        let token = stage.issuer.mint(&stage.agent("alice", "reconciled"));
        let client = stage.client()?.with_token(&token);
        let direct = stage.direct()?;
        let seeded = around(stage, &[]).await?.0;
        for number in 0..5 {
            let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("through-{number}")}});
            let answer = client.send_json(Method::POST, CONFIGMAPS, &object).await?;
            ensure!(answer.status == 201, "{} {}", answer.status, answer.text());
            ensure!(client.get(PODS).await?.status == 200, "no pods");
        }
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "around"}});
        created(&direct, CONFIGMAPS, &object).await?;
        ensure!(direct.get(AROUND).await?.status == 200, "no pods");
        exchanges(stage, "reconciled", |all| all.iter().filter(|one| one["state"] == "complete").count() == 10).await?;

        // The API server writes its log behind its answers.
        let logged = async || {
            let uris: Vec<_> = stage.audit_log().iter().map(|event| event["requestURI"].clone()).collect();
            let there = |uri: &str| uris.iter().filter(|one| *one == uri).count();
            (there(AROUND) >= 1 && there(PODS) >= 5 && there(CONFIGMAPS) >= 6).then_some(())
        };
        eventually("such an audit log", SOON, logged).await?;
        let (found, unlogged) = around(stage, &[]).await?;
        let new: Vec<_> = found.difference(&seeded).map(|(_, verb, uri)| (verb.as_str(), uri.as_str())).collect();
        let expected = [("create", CONFIGMAPS), ("list", AROUND)];
        ensure!(BTreeSet::from_iter(new.iter().copied()) == BTreeSet::from(expected), "{new:?}");
        ensure!(unlogged.is_empty(), "never logged: {unlogged:?}");

        // A log from which somebody took a line.
        let gone = stage.audit_log().into_iter().find(|event| event["requestURI"] == PODS && event["verb"] == "list");
        let gone = gone.context("no such event")?["auditID"].as_str().unwrap_or_default().to_owned();
        let (_, unlogged) = around(stage, &[&gone]).await?;
        ensure!(unlogged == [gone], "{unlogged:?}");
        Ok(())
    })
    .await;
}

type Found = BTreeSet<(String, String, String)>;

/// What `reconcile` finds in the audit log without these events: what went around, and what was never logged.
async fn around(stage: &Stage, without: &[&str]) -> Result<(Found, Vec<String>)> {
    let events = stage.audit_log();
    let kept = events.iter().filter(|event| !without.iter().any(|id| event["auditID"] == **id));
    let lines: Vec<_> = kept.map(Value::to_string).collect();
    let log = stage.dir().write("audit-copy.log", lines.join("\n"))?;
    let log = log.to_str().context("a path that is no text")?;
    let arguments = ["reconcile", log, "--user", stage.upstream_user(), "-o", "json"];
    let found: Value = serde_json::from_str(&stage.collector.run_any(&arguments).await?)?;
    ensure!(found["unread"] == 0, "{found}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |name: &str| found[name].as_array().cloned().unwrap_or_default();
    let around = list("around");
    let around =
        around.iter().map(|one| (text(&one["auditID"]), text(&one["verb"]), text(&one["requestURI"])));
    Ok((around.collect(), list("unlogged").iter().map(|one| text(&one["exchange"])).collect()))
}
