//! The WasmPlugin and the EnvoyFilter in a real Envoy whose listener is as Istio makes a gateway's: path normalization on,
//! clusters with Istio's names, the filter discovered by ECDS. What Istio makes was read in its source, not seen.

use anyhow::{Context as _, Result, ensure};
use chaperone_test_harness::client::Client;
use chaperone_test_harness::collector::Collector;
use chaperone_test_harness::issuer::{Claims, Issuer};
use chaperone_test_harness::kube::TOKEN;
use chaperone_test_harness::pki::Authority;
use chaperone_test_harness::process::{Process, WorkDir, eventually, fetched, filter};
use chaperone_test_harness::standin::{Options, StandIn};
use hyper::Method;
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;

use crate::PATIENCE;
use crate::envoy::{LISTENER, MANAGER, patched};
use crate::files::{change, in_folder};

const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const API: &str = "outbound|443||kubernetes.default.svc.cluster.local";

/// The servers around the gateway.
struct Around {
    authority: Authority,
    issuer: Issuer,
    api: StandIn,
    collector: Collector,
}

/// The WasmPlugin, and the names of the clusters that its filter calls: the issuer's and the collector's.
fn plugin(around: &Around) -> Result<(Value, String, String)> {
    let plugin = in_folder("istio")?.into_iter().find(|object| object["kind"] == "WasmPlugin");
    let mut plugin = plugin.context("no WasmPlugin")?;
    let config = &mut plugin["spec"]["pluginConfig"];
    let collector = config["recording"]["collector"]["cluster"].as_str().context("no collector")?.to_owned();
    let issuer = &mut config["authentication"]["jwt"][0]["issuer"];
    let idp = issuer["cluster"].as_str().context("no cluster of the issuer")?.to_owned();
    issuer["url"] = json!(around.issuer.url());
    Ok((plugin, idp, collector))
}

/// Gives Envoy the filter, as Istio's agent does with each version of a WasmPlugin whose module it has fetched.
fn discover(plugin: &Value, dir: &WorkDir) -> Result<()> {
    let spec = &plugin["spec"];
    let variables: Vec<_> =
        spec["vmConfig"]["env"].as_array().into_iter().flatten().map(|variable| &variable["name"]).collect();
    let wasm = json!({
        "@type": WASM,
        "config": {
            "name": "chaperone.chaperone", "root_id": spec["pluginName"], "failure_policy": spec["failStrategy"],
            "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue",
                              "value": spec["pluginConfig"].to_string()},
            "vm_config": {"runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": filter()?}},
                          "environment_variables": {"host_env_keys": variables}},
        },
    });
    let resource = json!({"@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
                          "name": "chaperone.chaperone", "typed_config": wasm});
    // Envoy looks at what is moved into place.
    let new = dir.write("filter.new", json!({"resources": [resource]}).to_string())?;
    Ok(fs::rename(new, dir.path("filter.json"))?)
}

/// Envoy's bootstrap: the plain one, with what Istio would make of the manifests.
fn bootstrap(around: &Around, dir: &WorkDir) -> Result<Value> {
    let (_, idp, collector) = plugin(around)?;
    let mut file = patched()?;
    file["admin"]["address"]["socket_address"]["port_value"] = json!(0);
    *file.pointer_mut(&format!("{LISTENER}/address/socket_address")).context("no address")? =
        json!({"address": "127.0.0.1", "port_value": 0});
    let manager = file.pointer_mut(MANAGER).context("no manager")?;
    manager["normalize_path"] = json!(true);
    manager["proxy_100_continue"] = json!(true);
    let routes = manager.pointer_mut("/route_config/virtual_hosts/0/routes").and_then(Value::as_array_mut);
    for route in routes.context("no routes")? {
        route["route"]["cluster"] = json!(API);
    }
    let discovery = json!({
        "config_source": {"path_config_source": {"path": dir.path("filter.json")}, "initial_fetch_timeout": "0s"},
        "type_urls": [WASM],
    });
    let filters = manager["http_filters"].as_array_mut().context("no filters")?;
    filters.insert(0, json!({"name": "chaperone.chaperone", "config_discovery": discovery}));
    let cluster = |name: &str, address: SocketAddr| {
        json!({"name": name, "type": "STATIC", "connect_timeout": "5s", "load_assignment": {
            "cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address":
                {"address": address.ip(), "port_value": address.port()}}}}]}]}})
    };
    let mut api = cluster(API, around.api.address());
    api["transport_socket"] = json!({"name": "envoy.transport_sockets.tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        "common_tls_context": {"validation_context": {
            "trusted_ca": {"filename": dir.write("ca.crt", around.authority.pem())?}}}}});
    file["static_resources"]["clusters"] =
        json!(
            [api, cluster(&idp, around.issuer.address()), cluster(&collector, around.collector.address()),]
        );
    Ok(file)
}

/// Starts Envoy; gives its process, its admin interface and where its listener is.
async fn start(around: &Around, dir: &WorkDir) -> Result<(Process, Client, SocketAddr)> {
    let file = dir.write("gateway.json", serde_json::to_vec_pretty(&bootstrap(around, dir)?)?)?;
    let admin_file = dir.path("gateway-admin");
    let mut command = Process::command(fetched("envoy")?);
    command.args(["--disable-hot-restart", "--concurrency", "1", "-c"]).arg(file);
    command.arg("--admin-address-path").arg(&admin_file);
    command
        .env("CHAPERONE_UPSTREAM_TOKEN", TOKEN)
        .env("CHAPERONE_COLLECTOR_TOKEN", around.collector.ingest_token())
        .env("CHAPERONE_SIGNING_KEY", around.collector.signing_key()?);
    let mut process = Process::start("gateway", command, dir)?;
    let admin = async || fs::read_to_string(&admin_file).ok()?.trim().parse().ok();
    let admin = Client::plain(process.until("admin address", PATIENCE, admin).await?);
    let listener = async || {
        let listeners = admin.get("/listeners?format=json").await.ok()?.json();
        let socket = listeners.pointer("/listener_statuses/0/local_address/socket_address")?.clone();
        let port = u16::try_from(socket["port_value"].as_u64()?).ok().filter(|port| *port != 0)?;
        (admin.get("/ready").await.ok()?.status == 200).then_some(SocketAddr::from(([127, 0, 0, 1], port)))
    };
    let address = process.until("listener", PATIENCE, listener).await?;
    Ok((process, admin, address))
}

#[tokio::test]
async fn the_filter_works_as_the_manifests_load_it() -> Result<()> {
    let dir = WorkDir::new()?;
    let authority = Authority::new("manifests");
    let api = StandIn::start(Options { authority: &authority, tokens: vec![TOKEN.to_owned()] }).await?;
    let (issuer, collector) = (Issuer::start().await?, Collector::start(&dir).await?);
    let mut around = Around { authority, issuer, api, collector };
    // A configuration that the filter refuses: nothing passes.
    let (good, ..) = plugin(&around)?;
    let mut bad = good.clone();
    change(&mut bad, "/spec/pluginConfig/recording/signingKey", Value::Null)?;
    discover(&bad, &dir)?;
    let (mut envoy, admin, address) = start(&around, &dir).await?;
    let refused = Client::plain(address).get("/version").await?;
    ensure!(refused.status == 500, "with a refused configuration: {} {}", refused.status, refused.text());
    ensure!(around.api.log().is_empty(), "something went upstream");

    discover(&good, &dir)?;
    let taken = async || (Client::plain(address).get("/version").await.ok()?.status == 401).then_some(());
    eventually("the good configuration", PATIENCE, taken).await?;
    let nobody = Client::plain(address).get("/version").await?;
    ensure!(nobody.status == 401, "without a token: {}", nobody.text());
    let token = around.issuer.mint(&Claims::new("agent-7").groups(["developers"]).session("istio"));
    let agent = Client::plain(address).with_token(&token);
    let pods = "/api/v1/namespaces/shop/pods";
    let known = async || (agent.get(pods).await.ok()?.status == 200).then_some(());
    eventually("keys through a cluster with Istio's name", PATIENCE, known).await?;

    let secret = agent.get("/api/v1/namespaces/shop/secrets/db").await?;
    ensure!(secret.status == 200 && !secret.text().contains("Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5"), "not masked");
    let created = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "by-istio"}});
    let written = agent.send_json(Method::POST, "/api/v1/namespaces/shop/configmaps", &created).await?;
    ensure!(written.status == 201, "a write whose record is confirmed: {}", written.text());

    // With paths normalized before the filter, what it decides about is what goes upstream.
    for (path, status, upstream) in [
        ("/api/v1/namespaces/default/../shop/secrets/db", 200, Some("/api/v1/namespaces/shop/secrets/db")),
        ("/api/v1/namespaces/shop/./pods", 200, Some(pods)),
        ("/api/v1/namespaces/shop%2Fsecrets", 400, None),
        ("/api/v1/namespaces//secrets", 400, None),
    ] {
        let before = around.api.log().len();
        let answer = agent.get(path).await?;
        ensure!(answer.status == status, "{path}: {}", answer.text());
        ensure!(!answer.text().contains("Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5"), "{path}: not masked");
        let arrived: Vec<_> = around.api.log_after(before).into_iter().map(|logged| logged.uri).collect();
        ensure!(arrived.iter().map(String::as_str).eq(upstream), "{path}: {arrived:?}");
    }
    // What the EnvoyFilter adds and Istio's annotation leaves away.
    for logged in around.api.log() {
        let names = [
            "x-forwarded-client-cert",
            "x-request-id",
            "x-envoy-attempt-count",
            "x-envoy-expected-rq-timeout-ms",
        ];
        for name in names {
            ensure!(!logged.headers.contains_key(name), "{name} went upstream");
        }
        let bearer = logged.headers.get("authorization").map(|value| value.as_bytes().to_vec());
        ensure!(bearer == Some(format!("Bearer {TOKEN}").into_bytes()), "another credential went upstream");
    }

    // An upgrade takes over while Envoy runs; one that the filter refuses leaves the one before it.
    let mut next = good.clone();
    change(
        &mut next,
        "/spec/pluginConfig/access",
        json!({"rules": [
        {"effect": "deny", "verbs": ["*"], "resources": ["pods"], "message": "By the next version."}]}),
    )?;
    discover(&next, &dir)?;
    let denied = async || agent.get(pods).await.ok()?.text().contains("By the next version.").then_some(());
    eventually("the next version", PATIENCE, denied).await?;
    let rejections = async || {
        let stats = admin.get("/stats?filter=extension_config_discovery.*update_rejected").await.ok()?.text();
        stats.trim().rsplit_once(' ')?.1.parse::<u64>().ok()
    };
    let before = rejections().await.context("no count of rejections")?;
    discover(&bad, &dir)?;
    let rejected = async || (rejections().await? > before).then_some(());
    eventually("a rejection", PATIENCE, rejected).await?;
    ensure!(denied().await.is_some(), "a refused configuration has replaced the one before it");

    let recorded = async || {
        let session = around.collector.session("istio").await.ok()?.to_string();
        (session.contains("by-istio") && session.contains("agent-7")).then_some(())
    };
    eventually("records through a cluster with Istio's name", PATIENCE, recorded).await?;
    envoy.stop().await?;
    around.collector.verify().await?;
    around.collector.stop().await?;
    dir.remove();
    Ok(())
}
