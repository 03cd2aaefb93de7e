//! What the groups share: a stage, a Secret with a value that must not get out, and ways to look for it.

use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chaperone_test_harness::client::{Answer, Client};
use chaperone_test_harness::envoy::vm_failures;
use chaperone_test_harness::process::eventually;
use chaperone_test_harness::stage::{ApiKind, Builder, Stage};
use hyper::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// The value of the Secret `db` in the namespace `orders`.
pub const VALUE: &str = "correct-horse-battery-staple";
/// What stands in for it, in base64.
pub const MASK: &str = "W21hc2tlZCBieSBjaGFwZXJvbmVd";
/// How long a record may take to reach the collector, or a key the filter.
pub const SOON: Duration = Duration::from_secs(20);

/// Runs checks on a stage. Whatever they did, the filter's VMs must live.
pub async fn run(api: ApiKind, workers: u32, checks: impl AsyncFnOnce(&mut Stage) -> Result<()>) {
    run_on(Stage::builder(api).concurrency(workers), checks).await;
}

/// The same, on a stage of the caller's making.
pub async fn run_on(builder: Builder, checks: impl AsyncFnOnce(&mut Stage) -> Result<()>) {
    let outcome = async {
        let mut stage = builder.start().await?;
        seed(&stage.direct()?).await?;
        checks(&mut stage).await?;
        vm_failures(&stage.envoy.log())?;
        stage.stop().await
    };
    if let Err(error) = outcome.await {
        panic!("{error:#}");
    }
}

/// The namespace `orders` with the Secret `db`, applied as kubectl does it, and a pod.
async fn seed(direct: &Client) -> Result<()> {
    let applied = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": "orders"},
                         "stringData": {"password": VALUE}});
    let objects = [
        (
            "/api/v1/namespaces",
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "orders"}}),
        ),
        (
            "/api/v1/namespaces/orders/secrets",
            json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": {"password": STANDARD.encode(VALUE)},
                   "metadata": {"name": "db", "annotations":
                       {"kubectl.kubernetes.io/last-applied-configuration": applied.to_string()}}}),
        ),
        (
            "/api/v1/namespaces/orders/pods",
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-1"},
                   "spec": {"containers": [{"name": "web", "image": "nginx"}]}}),
        ),
    ];
    for (path, object) in objects {
        created(direct, path, &object).await?;
    }
    Ok(())
}

/// Creates an object past the gateway.
pub async fn created(direct: &Client, path: &str, object: &Value) -> Result<()> {
    let answer = direct.send_json(Method::POST, path, object).await?;
    ensure!(answer.status == 201, "{path}: {} {}", answer.status, answer.text());
    Ok(())
}

/// Fails where the Secret's value is in the bytes, in whatever form; never prints it.
pub fn no_leak(what: &str, bytes: impl AsRef<[u8]>) -> Result<()> {
    let bytes = bytes.as_ref();
    for (form, needle) in [("as it is", VALUE.to_owned()), ("in base64", STANDARD.encode(VALUE))] {
        // base64's last characters depend on what follows.
        let needle = &needle.as_bytes()[..needle.len() - 4];
        ensure!(
            !bytes.windows(needle.len()).any(|window| window == needle),
            "{what}: the value is in it, {form}"
        );
    }
    Ok(())
}

/// Fails unless the answer is a `Status` with this code and reason; gives its message.
pub fn status(answer: &Answer, code: u16, reason: &str) -> Result<String> {
    let body = answer.json();
    let right =
        answer.status == code && body["kind"] == "Status" && body["reason"] == reason && body["code"] == code;
    ensure!(right, "expected a Status {code} {reason}, got {} {}", answer.status, answer.text());
    Ok(body["message"].as_str().unwrap_or_default().to_owned())
}

/// The exchanges of a session once there are some for which `enough` holds.
pub async fn exchanges(
    stage: &Stage,
    session: &str,
    enough: impl Fn(&[Value]) -> bool,
) -> Result<Vec<Value>> {
    let found = async || {
        let session = stage.collector.session(session).await.ok()?;
        let exchanges = session["exchanges"].as_array()?.clone();
        enough(&exchanges).then_some(exchanges)
    };
    eventually(&format!("such records of session {session}"), SOON, found).await
}

/// Waits until every chain that was begun is whole and signed: what could not be posted at first is posted again.
pub async fn verified(stage: &Stage) -> Result<()> {
    let mut last = None;
    let clean = async || {
        last = Some(stage.collector.verify().await);
        last.as_ref()?.as_ref().ok()?.contains("Nothing is wrong.").then_some(())
    };
    let outcome = eventually("clean verification", SOON, clean).await;
    outcome.map_err(|error| error.context(format!("{last:?}")))
}

/// The exchanges that did this.
pub fn did<'a>(exchanges: &'a [Value], verb: &str, resource: &str) -> Vec<&'a Value> {
    let right = |exchange: &&Value| exchange["verb"] == verb && exchange["objectRef"]["resource"] == resource;
    exchanges.iter().filter(right).collect()
}
