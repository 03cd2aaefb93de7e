//! What the EnvoyFilter and the bootstrap of Envoy Gateway add, by Envoy's own validation, and whether any of the plain Envoy
//! configuration's options is forgotten.

use anyhow::{Context as _, Result, ensure};
use chaperone_test_harness::process::{Process, WorkDir, fetched, filter};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;
use tokio::time::timeout;

use crate::PATIENCE;
use crate::files::{folder, in_folder};

/// The listener, in a bootstrap.
pub const LISTENER: &str = "/static_resources/listeners/0";
/// Its HTTP connection manager.
pub const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";

/// Good for a token and for a key alike: the Ed25519 key of RFC 8032, section 7.1, test 1.
const ANY_VALUE: &str = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g";

/// What `envoy.yaml` sets and the EnvoyFilter does not, and who does. docs/istio.md says the same.
const ELSEWHERE: [(&str, &str); 10] = [
    ("@type", "the message itself"),
    ("stat_prefix", "Istio's own"),
    ("normalize_path", "the mesh's pathNormalization; cannot be switched off by a merge"),
    ("merge_slashes", "off, unless the mesh's pathNormalization says otherwise"),
    ("use_remote_address", "Istio's gateways do"),
    ("stream_idle_timeout", "Istio's gateways have 0"),
    ("server_header_transformation", "proxyHeaders in the gateway's annotation"),
    ("generate_request_id", "proxyHeaders in the gateway's annotation"),
    ("http_filters", "the WasmPlugin; Istio's router"),
    ("route_config", "the VirtualService"),
];

fn plain() -> Result<Value> {
    Ok(serde_saphyr::from_str(&fs::read_to_string(folder("envoy/envoy.yaml"))?)?)
}

/// What the EnvoyFilter patches into something of this kind.
fn patch(target: &str) -> Result<Value> {
    let objects = in_folder("istio")?;
    let filter = objects.iter().find(|object| object["kind"] == "EnvoyFilter").context("no EnvoyFilter")?;
    let mut patches = filter["spec"]["configPatches"].as_array().into_iter().flatten();
    let patch = patches.find(|patch| patch["applyTo"] == target);
    Ok(patch.with_context(|| format!("no patch of a {target}"))?["patch"]["value"].clone())
}

/// The patches of the EnvoyFilter: to the listener, and to the connection manager.
fn patches() -> Result<(Value, Value)> {
    Ok((patch("LISTENER")?, patch("NETWORK_FILTER")?["typed_config"].clone()))
}

/// Streams are no faster in Istio than in the plain configuration: the same filter, on a route of the same paths.
#[test]
fn streams_are_held_to_the_same_bandwidth() -> Result<()> {
    let plain = plain()?;
    let manager = plain.pointer(MANAGER).context("no connection manager")?;
    ensure!(manager["http_filters"][1] == patch("HTTP_FILTER")?, "another filter");
    let route = &manager["route_config"]["virtual_hosts"][0]["routes"][0];
    let added = patch("HTTP_ROUTE")?;
    ensure!(route["typed_per_filter_config"] == added["typed_per_filter_config"], "another limit");
    let objects = in_folder("istio")?;
    let service = objects.iter().find(|object| object["kind"] == "VirtualService").context("no routes")?;
    let streams = &service["spec"]["http"][0];
    ensure!(streams["name"] == "streams", "the first route is {}", streams["name"]);
    let paths = &streams["match"][0]["uri"]["regex"];
    ensure!(*paths == route["match"]["safe_regex"]["regex"], "other paths: {paths}");
    Ok(())
}

#[test]
fn every_option_of_the_plain_configuration_is_seen_to() -> Result<()> {
    let plain = plain()?;
    let (_, patch) = patches()?;
    let options = plain.pointer(MANAGER).and_then(Value::as_object).context("no connection manager")?;
    for (option, value) in options {
        if ELSEWHERE.iter().any(|(name, _)| name == option) {
            continue;
        }
        let patched = patch.get(option).with_context(|| format!("the EnvoyFilter lacks {option}"))?;
        if option == "upgrade_configs" {
            continue;
        }
        ensure!(patched == value, "{option}: {patched} is not {value}");
    }
    let gateway = in_folder("istio")?
        .into_iter()
        .find(|object| object["kind"] == "Deployment" && object["metadata"]["name"] == "chaperone-gateway");
    let annotation = "/spec/template/metadata/annotations/proxy.istio.io~1config";
    let proxy = gateway.as_ref().and_then(|gateway| gateway.pointer(annotation)?.as_str());
    let proxy: Value = serde_saphyr::from_str(proxy.context("no configuration of Istio's proxy")?)?;
    for header in ["server", "requestId", "attemptCount", "envoyDebugHeaders"] {
        ensure!(proxy["proxyHeaders"][header]["disabled"] == true, "Istio's proxy sets {header}");
    }
    // Istio merges by protobuf, where `false` and 0 are as if they were not there.
    for (option, value) in patch.as_object().into_iter().flatten() {
        ensure!(*value != json!(false) && *value != json!(0), "{option} cannot be switched off by a merge");
    }
    Ok(())
}

/// The plain configuration with the listener as Istio leaves it, where the patches meet it, and the patches; no filter, no TLS.
pub fn patched() -> Result<Value> {
    let (listener, manager) = patches()?;
    let mut file = plain()?;
    let chain = file.pointer_mut("/static_resources/listeners/0/filter_chains/0").context("no chain")?;
    chain.as_object_mut().context("no chain")?.remove("transport_socket");
    let options = file.pointer_mut(MANAGER).and_then(Value::as_object_mut).context("no manager")?;
    for option in manager.as_object().into_iter().flatten().map(|(option, _)| option) {
        options.remove(option);
    }
    options.insert("upgrade_configs".to_owned(), json!([{"upgrade_type": "websocket"}]));
    options["http_filters"].as_array_mut().context("no filters")?.remove(0);
    merge(file.pointer_mut(MANAGER).context("no manager")?, &manager);
    merge(file.pointer_mut(LISTENER).context("no listener")?, &listener);
    for cluster in file["static_resources"]["clusters"].as_array_mut().into_iter().flatten() {
        cluster.as_object_mut().context("a cluster")?.remove("transport_socket");
    }
    Ok(file)
}

#[tokio::test]
async fn envoy_takes_what_the_envoy_filter_adds() -> Result<()> {
    let dir = WorkDir::new()?;
    let mut file = patched()?;
    validate(&file, &dir).await.map_err(|said| anyhow::anyhow!("{said}"))?;
    // Envoy does validate: not this.
    merge(file.pointer_mut(MANAGER).context("no manager")?, &json!({"request_timeouts": "60s"}));
    let said = validate(&file, &dir).await.err().context("Envoy takes an unknown option")?;
    ensure!(said.contains("request_timeouts"), "{said}");
    dir.remove();
    Ok(())
}

/// Lists are added to, as by protobuf's merge.
pub fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (field, value) in from {
                merge(into.entry(field).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(from)) => into.extend(from.iter().cloned()),
        (into, from) => *into = from.clone(),
    }
}

/// Whether Envoy would start with this; else what it says.
async fn validate(file: &Value, dir: &WorkDir) -> Result<(), String> {
    let run = async || -> Result<(bool, String)> {
        let path = dir.write("envoy.json", serde_json::to_vec_pretty(file)?)?;
        let mut command = Process::command(fetched("envoy")?);
        command.args(["--mode", "validate", "-c"]).arg(path);
        for variable in ["CHAPERONE_UPSTREAM_TOKEN", "CHAPERONE_COLLECTOR_TOKEN", "CHAPERONE_SIGNING_KEY"] {
            command.env(variable, ANY_VALUE);
        }
        let output = timeout(PATIENCE, command.output()).await??;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
    };
    match run().await {
        Ok((true, _)) => Ok(()),
        Ok((false, said)) => Err(said),
        Err(error) => Err(format!("{error:#}")),
    }
}

#[tokio::test]
async fn envoy_takes_the_clusters_of_envoy_gateway() -> Result<()> {
    let dir = WorkDir::new()?;
    let objects = in_folder("envoy-gateway")?;
    let proxy = objects.iter().find(|object| object["kind"] == "EnvoyProxy").context("no EnvoyProxy")?;
    let bootstrap = proxy.pointer("/spec/bootstrap/value").and_then(Value::as_str).context("no bootstrap")?;
    let file: Value = serde_saphyr::from_str(bootstrap)?;
    validate(&file, &dir).await.map_err(|said| anyhow::anyhow!("{said}"))?;
    dir.remove();
    Ok(())
}

/// The whole of the plain configuration, with the filter: what an operator runs before a start.
#[tokio::test]
async fn envoy_takes_the_plain_configuration() -> Result<()> {
    let dir = WorkDir::new()?;
    let leaf = chaperone_test_harness::pki::Authority::new("manifests").issue(&["gateway.example.com"]);
    let mut file = plain()?;
    let set = |file: &mut Value, pointer: &str, path: &Path| -> Result<()> {
        *file.pointer_mut(pointer).with_context(|| format!("no {pointer}"))? = json!(path);
        Ok(())
    };
    let tls = "/static_resources/listeners/0/filter_chains/0/transport_socket/typed_config/common_tls_context/tls_certificates/0";
    let certificate = dir.write("tls.crt", &leaf.certificate_pem)?;
    set(&mut file, &format!("{tls}/certificate_chain/filename"), &certificate)?;
    set(&mut file, &format!("{tls}/private_key/filename"), &dir.write("tls.key", &leaf.key_pem)?)?;
    set(
        &mut file,
        &format!("{MANAGER}/http_filters/0/typed_config/config/vm_config/code/local/filename"),
        &filter()?,
    )?;
    for cluster in file["static_resources"]["clusters"].as_array_mut().into_iter().flatten() {
        let authority = "/transport_socket/typed_config/common_tls_context/validation_context/trusted_ca";
        if let Some(authority) = cluster.pointer_mut(authority) {
            *authority = Value::Object(Map::from_iter([("filename".to_owned(), json!(certificate))]));
        }
    }
    validate(&file, &dir).await.map_err(|said| anyhow::anyhow!("{said}"))?;
    dir.remove();
    Ok(())
}
