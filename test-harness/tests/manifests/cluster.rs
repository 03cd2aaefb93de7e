//! A real API server with Istio's custom resource definitions, asked with kubectl.

use anyhow::{Context as _, Result, ensure};
use chaperone_test_harness::kube::{Assets, Kube, TOKEN};
use chaperone_test_harness::kubectl::Kubectl;
use chaperone_test_harness::pki::Authority;
use chaperone_test_harness::process::{WorkDir, eventually};
use serde_json::Value;
use std::time::Duration;

use crate::files::Object;

/// How long definitions may take to be served and described.
const SOON: Duration = Duration::from_secs(60);
/// That the manifests' objects are in: a dry run makes none.
const NAMESPACES: [&str; 3] = ["chaperone", "agents", "shop"];

pub struct Cluster {
    kube: Kube,
    kubectl: Kubectl,
}

impl Cluster {
    pub async fn start(assets: &Assets, definitions: &str, dir: &WorkDir) -> Result<Self> {
        let authority = Authority::new("manifests");
        let kube = Kube::start(assets, &authority, dir).await?;
        let server = format!("https://{}", kube.address());
        let kubectl = Kubectl::new("admin", &server, authority.pem(), Some(TOKEN), dir)?;
        kubectl
            .feed("create --validate=false -f -", definitions)
            .await?
            .ok()
            .context("Istio's definitions")?;
        kubectl.run("wait --for=condition=Established --timeout=60s crd --all").await?.ok()?;
        for namespace in NAMESPACES {
            kubectl.run(&format!("create namespace {namespace}")).await?.ok()?;
        }
        // What kubectl validates by.
        let described = async || {
            let document = kube.admin().get("/openapi/v2").await.ok()?.json();
            let definitions = document["definitions"].as_object()?;
            definitions.keys().any(|name| name.ends_with("extensions.v1alpha1.WasmPlugin")).then_some(())
        };
        eventually("description of Istio's resources", SOON, described).await?;
        Ok(Self { kube, kubectl })
    }

    /// The server takes the object as it is.
    pub async fn takes(&self, object: &Object) -> Result<()> {
        let missing = self.missing(object, "--validate=true").await?;
        ensure!(missing.is_empty(), "dropped or changed: {}", missing.join(", "));
        Ok(())
    }

    /// The server, or kubectl by the server's description, refuses the object: in these words.
    pub async fn refuses(&self, object: &Object) -> Result<String> {
        self.dry_run(object, "--validate=true").await?.refused()
    }

    /// What the server drops of an object that it takes.
    pub async fn drops(&self, object: &Object) -> Result<String> {
        Ok(self.missing(object, "--validate=false").await?.join(", "))
    }

    pub fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    pub async fn stop(self) -> Result<()> {
        self.kube.stop().await
    }

    async fn missing(&self, object: &Object, validation: &str) -> Result<Vec<String>> {
        let taken: Value = serde_json::from_str(&self.dry_run(object, validation).await?.ok()?)?;
        let mut missing = Vec::new();
        compare("", object, &taken, &mut missing);
        Ok(missing)
    }

    async fn dry_run(
        &self,
        object: &Object,
        validation: &str,
    ) -> Result<chaperone_test_harness::kubectl::Printed> {
        // Those that the manifests make and that are there.
        let verb = match (object["kind"].as_str(), object.pointer("/metadata/name").and_then(Value::as_str)) {
            (Some("Namespace"), Some(name)) if NAMESPACES.contains(&name) => "apply",
            _ => "create",
        };
        let arguments = format!("{verb} --dry-run=server {validation} -o json -f -");
        self.kubectl.feed(&arguments, &object.to_string()).await
    }
}

/// Collects the paths of what was sent and is not there. What the server adds does not count.
fn compare(path: &str, sent: &Value, taken: &Value, missing: &mut Vec<String>) {
    match (sent, taken) {
        (Value::Object(fields), Value::Object(there)) => {
            for (field, value) in fields {
                let path = format!("{path}.{field}");
                match there.get(field) {
                    Some(taken) => compare(&path, value, taken, missing),
                    None => missing.push(path),
                }
            }
        }
        (Value::Array(items), Value::Array(there)) if items.len() == there.len() => {
            for (index, (item, taken)) in items.iter().zip(there).enumerate() {
                compare(&format!("{path}[{index}]"), item, taken, missing);
            }
        }
        _ if sent == taken => {}
        _ => missing.push(path.to_owned()),
    }
}
