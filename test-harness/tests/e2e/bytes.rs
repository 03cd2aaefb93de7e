//! What passes unchanged, what passes as it comes, and what is large.

use crate::support::{MASK, VALUE, created, exchanges, no_leak};
use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chaperone_test_harness::client::Client;
use chaperone_test_harness::stage::Stage;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

pub const CONCURRENCY: u32 = 1;

const SECRETS: &str = "/api/v1/namespaces/orders/secrets";

pub async fn checks(stage: &mut Stage) -> Result<()> {
    let token = stage.issuer.mint(&stage.agent("alice", "bytes"));
    let client = stage.client()?.with_token(&token);
    let direct = stage.direct()?;
    unchanged(&client, &direct).await?;
    watch(&client, &direct).await?;
    watched_tables(&client).await?;
    large(&client, &direct).await?;
    large_write(&client).await?;
    let all = exchanges(stage, "bytes", |all| {
        all.iter().any(|exchange| exchange["verb"] == "watch" && exchange["state"] != "incomplete")
    })
    .await?;
    let watch = all.iter().find(|exchange| exchange["verb"] == "watch").context("no watch in the record")?;
    ensure!(watch["streamPieces"].as_u64() > Some(0), "{watch}");
    no_leak("the record", stage.collector.run(&["replay", "bytes", "--all", "--bodies", "-o", "json"]).await?)
}

/// Discovery and OpenAPI, byte for byte.
async fn unchanged(client: &Client, direct: &Client) -> Result<()> {
    for path in ["/version", "/healthz", "/api", "/apis", "/api/v1", "/apis/apps/v1", "/openapi/v2"] {
        for accept in
            ["application/json", "*/*", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"]
        {
            let (through, past) = (client.get_as(path, accept).await?, direct.get_as(path, accept).await?);
            ensure!(
                through.status == past.status,
                "{path}, {accept}: {}, not {}",
                through.status,
                past.status
            );
            ensure!(through.body == past.body, "{path}, {accept}: other bytes");
            let kind =
                |answer: &chaperone_test_harness::client::Answer| answer.headers.get("content-type").cloned();
            ensure!(kind(&through) == kind(&past), "{path}, {accept}: another content type");
        }
    }
    Ok(())
}

/// Each event of a watch is masked, and is there before the next one happens.
async fn watch(client: &Client, direct: &Client) -> Result<()> {
    let request = Request::get(format!("{SECRETS}?watch=true")).header("accept", "application/json");
    let response = client.open(request.body(Full::default())?).await?;
    ensure!(response.status() == 200, "{}", response.status());
    let mut events = Events { body: response.into_body(), pending: Vec::new() };
    // The Secret that is there already comes first.
    while events.next().await?["object"]["metadata"]["name"] != "db" {}
    for number in 0..3 {
        let name = format!("watched-{number}");
        created(direct, SECRETS, &secret(&name, "")).await?;
        let event = events.next().await?;
        ensure!(
            event["type"] == "ADDED" && event["object"]["metadata"]["name"] == *name,
            "{}",
            event["type"]
        );
        ensure!(event["object"]["data"]["password"] == MASK, "not masked");
    }
    Ok(())
}

/// What `kubectl get secrets -w` asks for: events whose objects are Tables.
async fn watched_tables(client: &Client) -> Result<()> {
    const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
    for (path, accept) in [
        (format!("{SECRETS}?watch=true&timeoutSeconds=1"), TABLE),
        (format!("{SECRETS}?watch=true&timeoutSeconds=1&includeObject=Object"), TABLE),
        (
            format!("{SECRETS}?watch=true&timeoutSeconds=1"),
            "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
        ),
    ] {
        let answer = client.get_as(&path, accept).await?;
        ensure!(
            answer.status == 200 && !answer.body.is_empty(),
            "{path}: {} {}",
            answer.status,
            answer.text()
        );
        no_leak(&path, &answer.body)?;
    }
    Ok(())
}

/// A body beyond Envoy's buffer limit is confirmed all the same: of a body one byte is held back. Whether so large an object
/// may be is the API server's word.
async fn large_write(client: &Client) -> Result<()> {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "large"},
                        "data": {"x": "y".repeat(2 << 20)}});
    let answer = client.send_json(Method::POST, "/api/v1/namespaces/orders/configmaps", &object).await?;
    ensure!([201, 422].contains(&answer.status), "{} {}", answer.status, answer.text());
    ensure!(!answer.text().contains("chaperone"), "{}", answer.text());
    Ok(())
}

/// A list of some megabytes.
async fn large(client: &Client, direct: &Client) -> Result<()> {
    const COUNT: usize = 200;
    let padding = "0123456789abcdef".repeat(1024);
    let mut requests = JoinSet::new();
    for number in 0..COUNT {
        let (direct, padding) = (direct.clone(), padding.clone());
        requests.spawn(async move {
            created(&direct, SECRETS, &secret(&format!("large-{number}"), &padding)).await
        });
    }
    while let Some(done) = requests.join_next().await {
        done??;
    }
    let past = direct.get(SECRETS).await?;
    ensure!(past.body.len() > 4 << 20, "only {} bytes", past.body.len());
    let through = client.get(SECRETS).await?;
    ensure!(through.status == 200, "{}", through.status);
    no_leak("a large list", &through.body)?;
    let (through, past) = (through.json(), past.json());
    let (through, past) = (items(&through)?, items(&past)?);
    ensure!(through.len() == past.len(), "{} items, not {}", through.len(), past.len());
    for (through, past) in through.iter().zip(past) {
        ensure!(through["metadata"]["uid"] == past["metadata"]["uid"], "another object");
        let values = through["data"].as_object().context("no data")?;
        ensure!(values.values().all(|value| value == MASK), "{}: not masked", through["metadata"]["name"]);
        ensure!(values.len() == past["data"].as_object().map_or(0, serde_json::Map::len), "keys are missing");
    }
    Ok(())
}

fn items(list: &Value) -> Result<&Vec<Value>> {
    list["items"].as_array().context("no items")
}

fn secret(name: &str, padding: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
           "data": {"password": STANDARD.encode(VALUE), "padding": STANDARD.encode(format!("{VALUE}{padding}"))}})
}

/// The events of a watch, one JSON document a line.
struct Events {
    body: hyper::body::Incoming,
    pending: Vec<u8>,
}

impl Events {
    async fn next(&mut self) -> Result<Value> {
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                no_leak("a watch event", &line)?;
                return Ok(serde_json::from_slice(&line)?);
            }
            let frame = timeout(Duration::from_secs(10), self.body.frame()).await.context("no event came")?;
            let frame = frame.context("the watch ended")??;
            self.pending.extend(frame.into_data().unwrap_or_default());
        }
    }
}
