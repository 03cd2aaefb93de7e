//! What the try-out's services are given: secrets, certificates, configurations. Made once, into a folder for each service, so that
//! each is shown its own only.

use anyhow::{Context as _, Result, ensure};
use chaperone_test_harness::pki::Authority;
use clap::Args;
use serde_json::{Value, json};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The issuer's name: `iss` of its tokens, and where the gateways fetch its keys.
pub const ISSUER: &str = "http://issuer:8089";
/// The name in the API server's certificate, as in `filter-config/envoy/envoy.yaml`.
pub const API_NAME: &str = "kubernetes.default.svc";

/// The gateways, and the API server behind each.
const GATEWAYS: [(&str, &str); 2] = [("gateway", "kubernetes"), ("gateway-k3s", "k3s")];

#[derive(Args)]
pub struct Arguments {
    /// The folder that has a folder for each service.
    #[arg(long, default_value = "/tryout")]
    out: PathBuf,
    /// Envoy's configuration, to be adapted.
    #[arg(long, default_value = "/usr/share/chaperone/envoy.yaml")]
    envoy: PathBuf,
    /// The filter's module.
    #[arg(long, default_value = "/usr/share/chaperone/plugin.wasm")]
    module: PathBuf,
    /// The collector's program, which makes signing keys.
    #[arg(long, default_value = "/bin/chaperone")]
    chaperone: PathBuf,
    /// Names in the gateways' certificate.
    #[arg(long = "name", default_values_t = ["localhost".to_owned(), "127.0.0.1".to_owned(), "gateway".to_owned(), "gateway-k3s".to_owned()])]
    names: Vec<String>,
}

/// Makes what is missing. Keys and tokens that are there stay; the module and the configurations are made anew.
pub fn run(arguments: &Arguments) -> Result<()> {
    let folder = |service: &str| arguments.out.join(service);
    if !folder("collector").join("auditor-token").exists() {
        secrets(arguments)?;
    }
    for (gateway, api) in GATEWAYS {
        let config = envoy(&arguments.envoy, gateway, api)?;
        write(&folder(gateway).join("envoy.json"), &serde_json::to_vec_pretty(&config)?)?;
        write(&folder(gateway).join("chaperone_filter.wasm"), &fs::read(&arguments.module)?)?;
    }
    println!("Keys, tokens and configurations are in place.");
    Ok(())
}

fn secrets(arguments: &Arguments) -> Result<()> {
    let folder = |service: &str| arguments.out.join(service);
    let (upstream, ingest, auditor) = (token()?, token()?, token()?);
    let authority = Authority::new("chaperone try-out");
    let names: Vec<&str> = arguments.names.iter().map(String::as_str).collect();
    let leaf = authority.issue(&names);
    write(&folder("agents").join("gateway-ca.crt"), authority.pem().as_bytes())?;
    for (gateway, api) in GATEWAYS {
        let folder = folder(gateway);
        write(&folder.join("tls.crt"), leaf.certificate_pem.as_bytes())?;
        write(&folder.join("tls.key"), leaf.key_pem.as_bytes())?;
        write(&folder.join("upstream-token"), upstream.as_bytes())?;
        write(&folder.join("collector-token"), ingest.as_bytes())?;
        let mut keygen = Command::new(&arguments.chaperone);
        keygen.args(["keygen", "--out"]).arg(&folder).stdout(Stdio::null());
        for left in ["signing-key.pem", "public-keys.json"] {
            let _ = fs::remove_file(folder.join(left));
        }
        ensure!(keygen.status()?.success(), "no signing key for {gateway}");
        let public = fs::read(folder.join("public-keys.json"))?;
        write(&arguments.out.join("collector").join(format!("{gateway}.json")), &public)?;
        write(&arguments.out.join(api).join("upstream-token"), upstream.as_bytes())?;
    }
    // k3s reads tokens and what to begin with from here.
    write(
        &folder("k3s").join("tokens.csv"),
        format!("{upstream},chaperone-agents,chaperone-agents\n").as_bytes(),
    )?;
    write(&folder("k3s").join("shop.yaml"), include_bytes!("shop.yaml"))?;
    write(&folder("collector").join("ingest-token"), ingest.as_bytes())?;
    // Last: where it is, everything is.
    write(&folder("collector").join("auditor-token"), auditor.as_bytes())
}

/// `filter-config/envoy/envoy.yaml`, pointed at the try-out's services.
fn envoy(file: &Path, gateway: &str, api: &str) -> Result<Value> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let mut config: Value = serde_saphyr::from_str(&text).with_context(|| file.display().to_string())?;
    config["node"]["id"] = json!(gateway);
    let filter = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0/typed_config/config\
                  /configuration/value";
    let filter = config.pointer_mut(filter).context("no configuration of the filter")?;
    let mut said: Value = serde_json::from_str(filter.as_str().context("no JSON")?)?;
    said["authentication"]["jwt"][0]["issuer"]["url"] = json!(ISSUER);
    *filter = json!(said.to_string());
    let clusters = config.pointer_mut("/static_resources/clusters").and_then(Value::as_array_mut);
    for cluster in clusters.context("no clusters")? {
        let (host, port) = match cluster["name"].as_str() {
            Some("kubernetes-api") => {
                let authority = "/transport_socket/typed_config/common_tls_context/validation_context/trusted_ca/filename";
                *cluster.pointer_mut(authority).context("no TLS to the API server")? =
                    json!("/etc/kubernetes/ca.crt");
                (api, 6443)
            }
            Some("idp") => {
                cluster.as_object_mut().context("no cluster")?.remove("transport_socket");
                ("issuer", 8089)
            }
            _ => ("collector", 8088),
        };
        cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"] =
            json!({"address": host, "port_value": port});
    }
    Ok(config)
}

/// 256 random bits.
fn token() -> Result<String> {
    let mut bytes = [0; 32];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
        .map_err(|_| anyhow::anyhow!("the system gives no random bytes"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Writes a file that its owner alone can read: all services are of one user, and each mounts its own folder.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = OpenOptions::new();
    let written = file.write(true).create(true).truncate(true).mode(0o600).open(path);
    written.and_then(|mut file| file.write_all(bytes)).with_context(|| path.display().to_string())
}
