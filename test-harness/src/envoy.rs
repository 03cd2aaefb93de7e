//! Stock Envoy with the built filter, configured from `filter-config/envoy/envoy.yaml`.

use crate::client::Client;
use crate::pki::Leaf;
use crate::process::{Process, WorkDir, eventually, fetched, repository};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long Envoy may take to compile the filter and listen.
const START: Duration = Duration::from_secs(60);

/// Where a cluster's requests go.
#[derive(Clone, Debug)]
pub struct Backend {
    /// A DNS name or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The authority of its certificate, PEM; none for plain HTTP.
    pub authority: Option<String>,
}

impl Backend {
    /// A server that speaks plain HTTP.
    pub fn plain(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port(), authority: None }
    }

    /// A server with a certificate for its address.
    pub fn tls(address: SocketAddr, authority: &str) -> Self {
        Self { authority: Some(authority.to_owned()), ..Self::plain(address) }
    }
}

/// What differs from the file.
pub struct Config<'a> {
    /// The filter's configuration.
    pub filter: &'a Value,
    /// The cluster `kubernetes-api`.
    pub api: Backend,
    /// The cluster `collector`.
    pub collector: Backend,
    /// The cluster `idp`.
    pub idp: Backend,
    /// Further clusters without TLS, by name.
    pub more: &'a [(String, Backend)],
    /// What the listener shows.
    pub leaf: &'a Leaf,
    /// Workers.
    pub concurrency: u32,
    /// The filter's module.
    pub module: &'a Path,
    /// Environment, where the filter's secrets are.
    pub env: &'a [(String, String)],
    /// Whether the listener is in a file of its own that may change while Envoy runs (LDS).
    pub dynamic: bool,
}

/// How the filter's configuration is handed to Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandedOver {
    /// As JSON in a `StringValue`, as Istio does it.
    Text,
    /// As a `Struct`.
    Struct,
}

/// A running Envoy.
pub struct Envoy {
    process: Process,
    address: SocketAddr,
    admin: Client,
    started_in: Duration,
}

impl Envoy {
    /// Starts Envoy and waits until it serves.
    pub async fn start(config: Config<'_>, dir: &WorkDir) -> Result<Self> {
        Self::with(&bootstrap(&config, dir)?, &config, dir).await
    }

    /// The same with a bootstrap made from that of this configuration.
    pub async fn with(bootstrap: &Value, config: &Config<'_>, dir: &WorkDir) -> Result<Self> {
        let bootstrap = dir.write("envoy.json", serde_json::to_vec_pretty(bootstrap)?)?;
        let admin_file = dir.path("envoy-admin");
        let _ = fs::remove_file(&admin_file);
        let mut command = Process::command(fetched("envoy")?);
        if config.dynamic {
            // Streams of a configuration that was replaced are ended after so long.
            command.args(["--drain-time-s", "2"]);
        }
        command
            .arg("-c")
            .arg(bootstrap)
            .args(["--disable-hot-restart", "--concurrency", &config.concurrency.to_string()])
            .arg("--admin-address-path")
            .arg(&admin_file)
            .envs(config.env.iter().cloned());
        let begun = Instant::now();
        let mut process = Process::start("envoy", command, dir)?;
        let admin = async || fs::read_to_string(&admin_file).ok()?.trim().parse().ok();
        let admin = Client::plain(process.until("admin address", START, admin).await?);
        let ready = async || (admin.get("/ready").await.ok()?.status == 200).then_some(());
        process.until("ready workers", START, ready).await?;
        let listening = async || {
            let listeners = admin.get("/listeners?format=json").await.ok()?.json();
            let socket = listeners.pointer("/listener_statuses/0/local_address/socket_address")?.clone();
            let ip: IpAddr = socket["address"].as_str()?.parse().ok()?;
            let port = u16::try_from(socket["port_value"].as_u64()?).ok()?;
            (port != 0).then_some(SocketAddr::new(ip, port))
        };
        let address = process.until("listener", START, listening).await?;
        Ok(Self { process, address, admin, started_in: begun.elapsed() })
    }

    /// Replaces the filter's configuration of a listener that may change, and waits until Envoy has taken it. Fails where it
    /// does not.
    pub async fn reconfigure(&self, filter: &Value, how: HandedOver, dir: &WorkDir) -> Result<()> {
        let counts = async || -> Result<(u64, u64)> {
            let count =
                async |name: &str| Ok::<u64, anyhow::Error>(self.stats(name).await?.into_values().sum());
            let taken = count("listener_manager.listener_in_place_updated$").await?;
            Ok((taken, count("listener_manager.lds.update_rejected$").await?))
        };
        let (taken, rejected) = counts().await?;
        let mut listener: Value = serde_json::from_slice(&fs::read(dir.path(LISTENERS))?)?;
        let filter_chain = at(&mut listener, "/resources/0")?;
        let configuration =
            at(filter_chain, &format!("{CHAIN}/http_filters/0/typed_config/config/configuration"))?;
        *configuration = match how {
            HandedOver::Text => {
                json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": filter.to_string()})
            }
            HandedOver::Struct => {
                json!({"@type": "type.googleapis.com/google.protobuf.Struct", "value": filter})
            }
        };
        replace(dir, &listener)?;
        let outcome = async || match counts().await.ok()? {
            (_, now) if now > rejected => Some(false),
            (now, _) if now > taken => Some(true),
            _ => None,
        };
        ensure!(eventually("new configuration", START, outcome).await?, "Envoy rejected the configuration");
        Ok(())
    }

    /// Where agents connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From its start until it served.
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// The admin interface.
    pub fn admin(&self) -> &Client {
        &self.admin
    }

    /// Counters and gauges whose names contain `part`.
    pub async fn stats(&self, part: &str) -> Result<BTreeMap<String, u64>> {
        let answer = self.admin.get(&format!("/stats?filter={part}")).await?;
        let lines = answer.text();
        let stats = lines.lines().filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Ok(stats.collect())
    }

    /// One of the filter's own metrics.
    pub async fn metric(&self, name: &str) -> Result<u64> {
        let stats = self.stats(&format!("wasmcustom.{name}$")).await?;
        stats.into_values().next().with_context(|| format!("no metric {name}"))
    }

    /// Everything it has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Kills it, as a crash would.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await
    }

    /// Ends it.
    pub async fn stop(mut self) -> Result<()> {
        self.process.stop().await
    }
}

/// The filter's configuration as the file has it.
pub fn filter_config() -> Result<Value> {
    let mut file = file()?;
    let text =
        filter_configuration(&mut file)?.as_str().context("the filter's configuration is not a string")?;
    Ok(serde_json::from_str(text)?)
}

fn file() -> Result<Value> {
    let path = repository().join("filter-config/envoy/envoy.yaml");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    serde_saphyr::from_str(&text).with_context(|| path.display().to_string())
}

/// The file, with what differs.
pub fn bootstrap(config: &Config, dir: &WorkDir) -> Result<Value> {
    let mut file = file()?;
    *at(&mut file, "/admin/address/socket_address/port_value")? = json!(0);
    *at(&mut file, "/static_resources/listeners/0/address/socket_address")? =
        json!({"address": "127.0.0.1", "port_value": 0});
    let certificate = at(
        &mut file,
        "/static_resources/listeners/0/filter_chains/0/transport_socket/typed_config/common_tls_context\
         /tls_certificates/0",
    )?;
    for (part, name, pem) in [
        ("/certificate_chain/filename", "gateway.crt", &config.leaf.certificate_pem),
        ("/private_key/filename", "gateway.key", &config.leaf.key_pem),
    ] {
        *at(certificate, part)? = json!(dir.write(name, pem)?);
    }
    *at(wasm(&mut file)?, "/vm_config/code/local/filename")? = json!(config.module);
    *filter_configuration(&mut file)? = json!(config.filter.to_string());
    for (name, backend) in
        [("kubernetes-api", &config.api), ("collector", &config.collector), ("idp", &config.idp)]
    {
        point(cluster(&mut file, name)?, backend, dir)?;
    }
    for (name, backend) in config.more {
        let mut plain = cluster(&mut file, "collector")?.clone();
        plain["name"] = json!(name);
        plain["load_assignment"]["cluster_name"] = json!(name);
        point(&mut plain, backend, dir)?;
        let clusters = at(&mut file, "/static_resources/clusters")?.as_array_mut().context("no clusters")?;
        clusters.push(Value::Object(plain));
    }
    if config.dynamic {
        make_dynamic(&mut file, dir)?;
    }
    Ok(file)
}

/// The HTTP connection manager, in the listener.
const CHAIN: &str = "/filter_chains/0/filters/0/typed_config";
/// The file of listeners that may change.
const LISTENERS: &str = "listeners/lds.json";

fn wasm(file: &mut Value) -> Result<&mut Value> {
    at(file, &format!("/static_resources/listeners/0{CHAIN}/http_filters/0/typed_config/config"))
}

/// Moves the listener to a file of its own.
fn make_dynamic(file: &mut Value, dir: &WorkDir) -> Result<()> {
    let mut listener = at(file, "/static_resources/listeners/0")?.take();
    listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
    let folder = dir.path("listeners");
    fs::create_dir_all(&folder)?;
    replace(dir, &json!({"resources": [listener]}))?;
    file["static_resources"]["listeners"] = json!([]);
    let source = json!({"path": dir.path(LISTENERS), "watched_directory": {"path": folder}});
    file["dynamic_resources"] =
        json!({"lds_config": {"resource_api_version": "V3", "path_config_source": source}});
    Ok(())
}

/// Puts the file in place at once: Envoy looks when something is moved there.
fn replace(dir: &WorkDir, listeners: &Value) -> Result<()> {
    let new = dir.write("listeners.new", serde_json::to_vec(listeners)?)?;
    fs::rename(new, dir.path(LISTENERS)).context("the listeners' file")
}

fn filter_configuration(file: &mut Value) -> Result<&mut Value> {
    at(wasm(file)?, "/configuration/value")
}

fn cluster<'a>(file: &'a mut Value, name: &str) -> Result<&'a mut Map<String, Value>> {
    let clusters = at(file, "/static_resources/clusters")?.as_array_mut().context("no clusters")?;
    let cluster = clusters.iter_mut().find(|cluster| cluster["name"] == name);
    cluster.and_then(Value::as_object_mut).with_context(|| format!("no cluster {name}"))
}

/// Points a cluster at a backend.
fn point(cluster: &mut Map<String, Value>, backend: &Backend, dir: &WorkDir) -> Result<()> {
    let name = cluster["name"].as_str().unwrap_or_default().to_owned();
    cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"] =
        json!({"address": backend.host, "port_value": backend.port});
    let Some(authority) = &backend.authority else {
        cluster.remove("transport_socket");
        return Ok(());
    };
    let Some(tls) = cluster.get_mut("transport_socket") else {
        bail!("the file has no TLS for the cluster {name}");
    };
    let tls = at(tls, "/typed_config")?;
    let is_address = backend.host.parse::<IpAddr>().is_ok();
    if is_address {
        // SNI carries DNS names only.
        tls.as_object_mut().context("no TLS context")?.remove("sni");
    } else {
        *at(tls, "/sni")? = json!(backend.host);
    }
    let validation = at(tls, "/common_tls_context/validation_context")?;
    *at(validation, "/trusted_ca/filename")? = json!(dir.write(&format!("{name}.ca"), authority)?);
    let kind = if is_address { "IP_ADDRESS" } else { "DNS" };
    *at(validation, "/match_typed_subject_alt_names/0")? =
        json!({"san_type": kind, "matcher": {"exact": backend.host}});
    Ok(())
}

/// What the file must have, so that tests notice when it changes its shape.
fn at<'a>(value: &'a mut Value, pointer: &str) -> Result<&'a mut Value> {
    value.pointer_mut(pointer).with_context(|| format!("envoy.yaml has nothing at {pointer}"))
}

/// Whether the filter's VM has failed or been started anew since Envoy started.
pub fn vm_failures(log: &str) -> Result<()> {
    let bad: Vec<_> =
        log.lines().filter(|line| line.contains("[critical]") || line.contains("Panicked")).collect();
    ensure!(bad.is_empty(), "Envoy's log: {}", bad.join("\n"));
    Ok(())
}
