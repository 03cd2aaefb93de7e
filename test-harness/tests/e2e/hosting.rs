//! The filter under the ways in which hosts load it: what differs is how Envoy is told, never what the filter does.

use crate::support::{SOON, did};
use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chaperone_test_harness::client::Client;
use chaperone_test_harness::collector::Collector;
use chaperone_test_harness::envoy::vm_failures;
use chaperone_test_harness::issuer::{Claims, Issuer};
use chaperone_test_harness::kube::TOKEN;
use chaperone_test_harness::pki::Authority;
use chaperone_test_harness::process::{Process, WorkDir, eventually, fetched, filter, repository};
use chaperone_test_harness::standin::{Options, StandIn};
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;

const LISTENER: &str = "/static_resources/listeners/0";
const FILTERS: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters";

/// Another plugin, which lets everything pass:
///
/// ```wat
/// (module
///   (memory (export "memory") 1)
///   (func (export "proxy_abi_version_0_2_1"))
///   (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 0)
///   (func (export "proxy_on_vm_start") (param i32 i32) (result i32) i32.const 1)
///   (func (export "proxy_on_configure") (param i32 i32) (result i32) i32.const 1)
///   (func (export "proxy_on_context_create") (param i32 i32))
///   (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) i32.const 0))
/// ```
const ANOTHER: &str = "AGFzbQEAAAABGwVgAABgAX8Bf2ACf38Bf2ACf38AYAN/f38BfwMHBgABAgIDBAUDAQABB50BBwZtZW1vcnkCABdwcm94eV9hYmlf\
    dmVyc2lvbl8wXzJfMQAAGHByb3h5X29uX21lbW9yeV9hbGxvY2F0ZQABEXByb3h5X29uX3ZtX3N0YXJ0AAIScHJveHlfb25fY29u\
    ZmlndXJlAAMXcHJveHlfb25fY29udGV4dF9jcmVhdGUABBhwcm94eV9vbl9yZXF1ZXN0X2hlYWRlcnMABQobBgIACwQAQQALBABB\
    AQsEAEEBCwIACwQAQQAL";

/// How Envoy is told about the filter: its `config`, and the folder for further files.
type Told = fn(&mut Value, &WorkDir) -> Result<()>;

fn as_the_file(_: &mut Value, _: &WorkDir) -> Result<()> {
    Ok(())
}

/// As Istio makes it of a WasmPlugin: JSON in a string, and no `vm_id`.
fn as_istio(filters: &mut Value, _: &WorkDir) -> Result<()> {
    remove(&mut filters[0]["typed_config"]["config"]["vm_config"], "vm_id")
}

fn as_struct(filters: &mut Value, _: &WorkDir) -> Result<()> {
    let configuration = &mut filters[0]["typed_config"]["config"]["configuration"];
    let said: Value = serde_json::from_str(configuration["value"].as_str().context("no JSON")?)?;
    *configuration = json!({"@type": "type.googleapis.com/google.protobuf.Struct", "value": said});
    Ok(())
}

fn without_root_id(filters: &mut Value, _: &WorkDir) -> Result<()> {
    remove(&mut filters[0]["typed_config"]["config"], "root_id")
}

fn without_any_id(filters: &mut Value, dir: &WorkDir) -> Result<()> {
    without_root_id(filters, dir)?;
    as_istio(filters, dir)
}

/// Both have the empty `vm_id`, as all plugins in Istio have.
fn next_to_another(filters: &mut Value, dir: &WorkDir) -> Result<()> {
    as_istio(filters, dir)?;
    let module = dir.write("another.wasm", STANDARD.decode(ANOTHER)?)?;
    let mut another = filters[0].clone();
    another["name"] = json!("another");
    let config = &mut another["typed_config"]["config"];
    config["name"] = json!("another");
    config["root_id"] = json!("another");
    config["vm_config"]["code"]["local"]["filename"] = json!(module);
    remove(config, "configuration")?;
    filters.as_array_mut().context("no filters")?.insert(0, another);
    Ok(())
}

fn with_its_root_id_elsewhere(filters: &mut Value, _: &WorkDir) -> Result<()> {
    filters[0]["typed_config"]["config"]["root_id"] = json!("chaperone.chaperone-7f");
    Ok(())
}

fn remove(object: &mut Value, field: &str) -> Result<()> {
    object.as_object_mut().and_then(|object| object.remove(field)).with_context(|| format!("no {field}"))?;
    Ok(())
}

#[tokio::test]
async fn however_a_host_loads_it_the_filter_does_the_same() -> Result<()> {
    let rows: [(&str, Told, u32); 9] = [
        ("as the file has it, one worker", as_the_file, 1),
        ("two workers", as_the_file, 2),
        ("eight workers", as_the_file, 8),
        ("JSON in a string and no vm_id, as Istio", as_istio, 2),
        ("a Struct", as_struct, 1),
        ("no root_id", without_root_id, 1),
        ("another root_id", with_its_root_id_elsewhere, 1),
        ("neither root_id nor vm_id", without_any_id, 1),
        ("an empty vm_id next to another plugin", next_to_another, 2),
    ];
    for (number, (name, told, workers)) in rows.into_iter().enumerate() {
        hosted(told, workers, &format!("hosting-{number}")).await.with_context(|| name.to_owned())?;
    }
    Ok(())
}

/// One Envoy that is told so, and what an agent meets there.
async fn hosted(told: Told, workers: u32, session: &str) -> Result<()> {
    let dir = WorkDir::new()?;
    let authority = Authority::new("hosting");
    let api = StandIn::start(Options { authority: &authority, tokens: vec![TOKEN.to_owned()] }).await?;
    let (issuer, collector) = (Issuer::start().await?, Collector::start(&dir).await?);
    let mut file: Value = {
        let path = repository().join("filter-config/envoy/envoy.yaml");
        serde_saphyr::from_str(&fs::read_to_string(path)?)?
    };
    file["admin"]["address"]["socket_address"]["port_value"] = json!(0);
    let listener = file.pointer_mut(LISTENER).context("no listener")?;
    listener["address"]["socket_address"] = json!({"address": "127.0.0.1", "port_value": 0});
    remove(&mut listener["filter_chains"][0], "transport_socket")?;
    for cluster in file["static_resources"]["clusters"].as_array_mut().into_iter().flatten() {
        let address = match cluster["name"].as_str() {
            Some("kubernetes-api") => {
                let authority = dir.write("ca.crt", authority.pem())?;
                let tls = &mut cluster["transport_socket"]["typed_config"];
                remove(tls, "sni")?;
                tls["common_tls_context"]["validation_context"] =
                    json!({"trusted_ca": {"filename": authority}});
                api.address()
            }
            Some("idp") => {
                remove(cluster, "transport_socket")?;
                issuer.address()
            }
            _ => collector.address(),
        };
        cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"] =
            json!({"address": address.ip(), "port_value": address.port()});
    }
    let filters = file.pointer_mut(FILTERS).context("no filters")?;
    let config = &mut filters[0]["typed_config"]["config"];
    config["vm_config"]["code"]["local"]["filename"] = json!(filter()?);
    let mut said: Value =
        serde_json::from_str(config["configuration"]["value"].as_str().context("no JSON")?)?;
    said["authentication"]["jwt"][0]["issuer"]["url"] = json!(issuer.url());
    // So that a VM knows them from its start, whichever worker a connection meets.
    said["authentication"]["jwt"][0]["issuer"]["jwks"] = issuer.jwks();
    config["configuration"]["value"] = json!(said.to_string());
    told(filters, &dir)?;

    let (mut envoy, address) = start(&file, workers, &collector, &dir).await?;
    let nobody = Client::plain(address).get("/api/v1/namespaces/shop/pods").await?;
    ensure!(nobody.status == 401, "without a token: {} {}", nobody.status, nobody.text());
    let token = issuer.mint(&Claims::new("alice").session(session));
    let agent = Client::plain(address).with_token(&token);
    // Each is a connection of its own, so that all workers get some.
    let requests = 4 * workers as usize;
    for _ in 0..requests {
        let secret = agent.get("/api/v1/namespaces/shop/secrets/db").await?;
        let masked = secret.json()["data"]["password"] == STANDARD.encode("[masked by chaperone]");
        ensure!(secret.status == 200 && masked, "a Secret: {}", secret.status);
    }
    let recorded = records(&collector, session, requests).await?;
    ensure!(did(&recorded, "get", "secrets").len() == requests, "not all are in the record");
    let verified =
        async || collector.verify().await.is_ok_and(|said| said.contains("Nothing is wrong.")).then_some(());
    eventually("clean verification", SOON, verified).await?;
    vm_failures(&envoy.log())?;
    envoy.stop().await?;
    dir.remove();
    Ok(())
}

/// The exchanges of a session once there are so many.
async fn records(collector: &Collector, session: &str, enough: usize) -> Result<Vec<Value>> {
    let found = async || {
        let session = collector.session(session).await.ok()?;
        session["exchanges"].as_array().filter(|all| all.len() >= enough).cloned()
    };
    eventually("the records", SOON, found).await
}

async fn start(
    file: &Value,
    workers: u32,
    collector: &Collector,
    dir: &WorkDir,
) -> Result<(Process, SocketAddr)> {
    let admin_file = dir.path("envoy-admin");
    let mut command = Process::command(fetched("envoy")?);
    command.arg("-c").arg(dir.write("envoy.json", file.to_string())?);
    command.args(["--disable-hot-restart", "--concurrency", &workers.to_string()]);
    command.arg("--admin-address-path").arg(&admin_file);
    command
        .env("CHAPERONE_UPSTREAM_TOKEN", TOKEN)
        .env("CHAPERONE_COLLECTOR_TOKEN", collector.ingest_token())
        .env("CHAPERONE_SIGNING_KEY", collector.signing_key()?);
    let mut process = Process::start("envoy", command, dir)?;
    let admin = async || fs::read_to_string(&admin_file).ok()?.trim().parse().ok();
    let admin = Client::plain(process.until("admin address", SOON, admin).await?);
    let listening = async || {
        if admin.get("/ready").await.ok()?.status != 200 {
            return None;
        }
        let listeners = admin.get("/listeners?format=json").await.ok()?.json();
        let socket = listeners.pointer("/listener_statuses/0/local_address/socket_address")?.clone();
        let port = u16::try_from(socket["port_value"].as_u64()?).ok().filter(|port| *port != 0)?;
        Some(SocketAddr::from(([127, 0, 0, 1], port)))
    };
    let address = process.until("listener", SOON, listening).await?;
    Ok((process, address))
}
