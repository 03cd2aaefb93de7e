//! The Secrets that are there before a client comes, read and compared with the administrator's own credential.

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chaperone_test_harness::client::Client;
use chaperone_test_harness::pki::Authority;
use hyper::Method;
use hyper::body::Bytes;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;

/// One client's namespace.
pub struct Cluster {
    direct: Client,
    namespace: String,
    needles: Vec<String>,
    before: Map<String, Value>,
    bytes: Vec<Bytes>,
}

/// As etcd holds objects.
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// Secrets that no row may write to: not even their resource versions change.
const UNTOUCHED: [&str; 5] = ["db", "tls", "registry", "login", "sh.helm.release.v1.web.v1"];
/// Secrets whose labels and annotations are written to: their values stay.
const LABELLED: [&str; 3] = ["labelled", "watched", "forced-apply"];

/// A value that nobody may see.
fn value() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

impl Cluster {
    /// Makes the namespace and its Secrets.
    pub async fn seed(direct: Client, namespace: &str) -> Result<Self> {
        let mut values = Vec::new();
        let mut secret = |value: String| {
            values.push(value.clone());
            value
        };
        let password = secret(value());
        let applied = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": namespace},
                             "stringData": {"password": password}});
        let leaf = Authority::new("clients").issue(&["shop.example.com"]);
        let key_line = leaf.key_pem.lines().nth(1).context("a key of one line")?.to_owned();
        secret(key_line);
        let registry = json!({"auths": {"registry.example.com": {"auth": STANDARD.encode(secret(value()))}}});
        let mut binary = vec![0, 0xff, 0xfe];
        binary.extend(secret(value()).into_bytes());
        let release = STANDARD.encode(secret(value()));
        let opaque = |name: &str, data: Value| json!({"metadata": {"name": name}, "data": data});
        let data = |text: &str| STANDARD.encode(text);
        let secrets = [
            json!({"metadata": {"name": "db", "labels": {"app": "shop"}, "annotations": {"team": "payments",
                       "kubectl.kubernetes.io/last-applied-configuration": applied.to_string()}},
                   "data": {"username": data(&secret(value())), "password": data(&password), "key.bin": STANDARD.encode(binary)}}),
            json!({"metadata": {"name": "tls"}, "type": "kubernetes.io/tls",
                   "data": {"tls.crt": data(&leaf.certificate_pem), "tls.key": data(&leaf.key_pem)}}),
            json!({"metadata": {"name": "registry"}, "type": "kubernetes.io/dockerconfigjson",
                   "data": {".dockerconfigjson": data(&registry.to_string())}}),
            json!({"metadata": {"name": "login"}, "type": "kubernetes.io/basic-auth", "immutable": true,
                   "data": {"username": data(&secret(value())), "password": data(&secret(value()))}}),
            json!({"metadata": {"name": "sh.helm.release.v1.web.v1", "labels":
                       {"owner": "helm", "name": "web", "status": "deployed", "version": "1"}},
                   "type": "helm.sh/release.v1", "data": {"release": data(&release)}}),
            opaque("labelled", json!({"password": data(&secret(value()))})),
            opaque("watched", json!({"password": data(&secret(value()))})),
            opaque(
                "rotated",
                json!({"password": data(&secret(value())), "username": data(&secret(value()))}),
            ),
            opaque(
                "dropped",
                json!({"password": data(&secret(value())), "username": data(&secret(value()))}),
            ),
            opaque("forced-replace", json!({"password": data(&secret(value()))})),
            opaque("forced-apply", json!({"password": data(&secret(value()))})),
        ];
        let needles = values.iter().flat_map(|value| forms(value)).collect();
        let mut cluster =
            Self { direct, namespace: namespace.to_owned(), needles, before: Map::new(), bytes: Vec::new() };
        cluster.create("/api/v1/namespaces", &json!({"metadata": {"name": namespace}})).await?;
        for secret in &secrets {
            cluster.create(&format!("/api/v1/namespaces/{namespace}/secrets"), secret).await?;
        }
        cluster.before = cluster.secrets().await?;
        cluster.bytes = cluster.bytes_now().await?;
        Ok(cluster)
    }

    async fn create(&self, path: &str, object: &Value) -> Result<()> {
        let answer = self.direct.send_json(Method::POST, path, object).await?;
        ensure!(answer.status == 201, "{path}: {} {}", answer.status, answer.json()["message"]);
        Ok(())
    }

    /// All Secrets of the namespace by name, whole.
    async fn secrets(&self) -> Result<Map<String, Value>> {
        let answer = self.direct.get(&format!("/api/v1/namespaces/{}/secrets", self.namespace)).await?;
        let mut list = answer.json();
        let items = list["items"].as_array_mut().map(std::mem::take).context("no list of Secrets")?;
        let named = |item: Value| Some((item["metadata"]["name"].as_str()?.to_owned(), item));
        Ok(items.into_iter().filter_map(named).collect())
    }

    async fn bytes_now(&self) -> Result<Vec<Bytes>> {
        let mut bytes = Vec::new();
        for name in UNTOUCHED {
            let path = format!("/api/v1/namespaces/{}/secrets/{name}", self.namespace);
            bytes.push(self.direct.get_as(&path, PROTOBUF).await?.body);
        }
        Ok(bytes)
    }

    /// The Secrets that nothing may write to are the same bytes.
    pub async fn untouched_bytes(&self) -> Result<()> {
        ensure!(self.bytes_now().await? == self.bytes, "the bytes of a Secret have changed");
        Ok(())
    }

    /// The Secrets are what they were. Says which field is not, and never what it holds.
    pub async fn untouched(&self) -> Result<()> {
        let now = self.secrets().await?;
        for name in UNTOUCHED.iter().chain(&LABELLED) {
            let (now, before) = (now.get(*name), self.before.get(*name));
            let now = now.with_context(|| format!("Secret {name} is gone"))?;
            let before = before.with_context(|| format!("Secret {name} was not there"))?;
            let fields: &[&str] = if UNTOUCHED.contains(name) {
                &["", "/metadata/labels", "/metadata/annotations"]
            } else {
                &[]
            };
            for field in ["/data", "/type", "/metadata/uid", "/immutable"].iter().chain(fields) {
                ensure!(now.pointer(field) == before.pointer(field), "Secret {name} has changed: {field}");
            }
        }
        Ok(())
    }

    /// A Secret has this value.
    pub async fn holds(&self, secret: &str, key: &str, value: &str) -> Result<()> {
        let secrets = self.secrets().await?;
        let held = secrets.get(secret).with_context(|| format!("no Secret {secret}"))?;
        ensure!(
            held["data"][key] == STANDARD.encode(value),
            "Secret {secret} does not hold {value:?} as {key}"
        );
        Ok(())
    }

    /// A Secret does not have this key.
    pub async fn lacks(&self, secret: &str, key: &str) -> Result<()> {
        let secrets = self.secrets().await?;
        let held = secrets.get(secret).with_context(|| format!("no Secret {secret}"))?;
        ensure!(held["data"].get(key).is_none(), "Secret {secret} has a {key}");
        Ok(())
    }

    /// There is no such Secret.
    pub async fn gone(&self, secret: &str) -> Result<()> {
        ensure!(!self.secrets().await?.contains_key(secret), "Secret {secret} is there");
        Ok(())
    }

    /// Somebody else writes to the Secret `watched`.
    pub async fn touch(&self) -> Result<()> {
        let path = format!("/api/v1/namespaces/{}/secrets/watched", self.namespace);
        let patch = json!({"metadata": {"annotations": {"touched": uuid::Uuid::new_v4().to_string()}}});
        let request = hyper::Request::patch(&path)
            .header("content-type", "application/merge-patch+json")
            .body(patch.to_string().into())?;
        let answer = self.direct.send(request).await?;
        ensure!(answer.status == 200, "{path}: {}", answer.status);
        Ok(())
    }

    /// Fails where a value is in the bytes, in whatever form; never prints it.
    pub fn no_value(&self, place: &str, bytes: &[u8]) -> Result<()> {
        let text = String::from_utf8_lossy(bytes);
        for needle in &self.needles {
            ensure!(!text.contains(needle), "a Secret's value is in {place}");
        }
        Ok(())
    }

    /// The same for all files of a folder.
    pub fn no_value_in_folder(&self, folder: &Path) -> Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            match entry.file_type()? {
                kind if kind.is_dir() => self.no_value_in_folder(&entry.path())?,
                kind if kind.is_file() => {
                    self.no_value(&entry.path().display().to_string(), &fs::read(entry.path())?)?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// A value as it is, and what base64 makes of its middle wherever it begins.
fn forms(value: &str) -> Vec<String> {
    let mut forms = vec![value.to_owned()];
    for before in ["", "x", "xx"] {
        let encoded = STANDARD.encode(format!("{before}{value}"));
        // The first and last characters also depend on what is beside the value.
        forms.push(encoded[4..encoded.len() - 4].to_owned());
    }
    forms
}
