//! A real kube-apiserver with its etcd.

use crate::client::Client;
use crate::pki::{Authority, Leaf};
use crate::process::{Process, WorkDir, free_port};
use anyhow::{Result, bail};
use serde_json::Value;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The token that the gateway injects: an administrator's.
pub const TOKEN: &str = "kube-admin-token-0123456789abcdef";
/// Who that is.
pub const USER: &str = "chaperone-gateway";

/// How long the API server may take to be ready.
const START: Duration = Duration::from_secs(90);
/// Ports are taken by others now and then.
const ATTEMPTS: u32 = 3;

/// The two programs.
#[derive(Clone, Debug)]
pub struct Assets {
    kube_apiserver: PathBuf,
    etcd: PathBuf,
}

impl Assets {
    /// Looks for them: the folder that `KUBEBUILDER_ASSETS` names, else what `make kube-assets` left.
    pub fn find() -> Option<Self> {
        let named = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| {
            let home = std::env::var_os("HOME")?;
            Some(Path::new(&home).join(".cache"))
        });
        let made = cache.map(|cache| cache.join("chaperone/kube-assets"));
        named.into_iter().chain(made).find_map(|folder| {
            let found = Self { kube_apiserver: folder.join("kube-apiserver"), etcd: folder.join("etcd") };
            (found.kube_apiserver.exists() && found.etcd.exists()).then_some(found)
        })
    }
}

/// A running API server.
pub struct Kube {
    etcd: Process,
    server: Process,
    address: SocketAddr,
    audit_log: PathBuf,
    admin: Client,
}

impl Kube {
    /// Starts etcd and the API server and waits until it is ready. Everything is authorized by RBAC.
    pub async fn start(assets: &Assets, authority: &Authority, dir: &WorkDir) -> Result<Self> {
        let leaf = authority.issue(&["127.0.0.1", "localhost"]);
        let mut failure = None;
        for attempt in 0..ATTEMPTS {
            match Self::attempt(assets, authority, &leaf, dir, attempt).await {
                Ok(kube) => return Ok(kube),
                Err(error) if error.to_string().contains("address already in use") => failure = Some(error),
                Err(error) => return Err(error),
            }
        }
        bail!("no free port in {ATTEMPTS} attempts: {failure:?}")
    }

    async fn attempt(
        assets: &Assets,
        authority: &Authority,
        leaf: &Leaf,
        dir: &WorkDir,
        attempt: u32,
    ) -> Result<Self> {
        let etcd_url = format!("http://127.0.0.1:{}", free_port()?);
        let mut command = Process::command(&assets.etcd);
        command
            .arg("--data-dir")
            .arg(dir.path(format!("etcd-{attempt}")))
            .args(["--listen-client-urls", &etcd_url, "--advertise-client-urls", &etcd_url])
            .args(["--listen-peer-urls", "http://127.0.0.1:0"]);
        let etcd = Process::start("etcd", command, dir)?;

        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let audit_log = dir.path("audit.log");
        let files = [
            ("tls-cert-file", dir.write("kube.crt", &leaf.certificate_pem)?),
            ("tls-private-key-file", dir.write("kube.key", &leaf.key_pem)?),
            ("service-account-key-file", dir.path("kube.crt")),
            ("service-account-signing-key-file", dir.path("kube.key")),
            (
                "token-auth-file",
                dir.write("tokens.csv", format!("{TOKEN},{USER},{USER},\"system:masters\"\n"))?,
            ),
            ("audit-policy-file", dir.write("audit-policy.yaml", AUDIT_POLICY)?),
            ("audit-log-path", audit_log.clone()),
            ("cert-dir", dir.path("kube-certs")),
        ];
        let mut command = Process::command(&assets.kube_apiserver);
        command
            .args(files.iter().map(|(flag, path)| format!("--{flag}={}", path.display())))
            .arg(format!("--etcd-servers={etcd_url}"))
            .arg(format!("--secure-port={}", address.port()))
            .args([
                "--bind-address=127.0.0.1",
                "--service-account-issuer=https://kubernetes.default.svc",
                "--authorization-mode=RBAC",
                "--service-cluster-ip-range=10.0.0.0/24",
                "--disable-admission-plugins=ServiceAccount",
            ]);
        let mut server = Process::start("kube-apiserver", command, dir)?;
        let admin = Client::tls(address, authority.pem())?.with_token(TOKEN);
        let ready = async || (admin.get("/readyz").await.ok()?.status == 200).then_some(());
        server.until("readiness", START, ready).await?;
        let namespace =
            async || (admin.get("/api/v1/namespaces/default").await.ok()?.status == 200).then_some(());
        server.until("namespace default", START, namespace).await?;
        Ok(Self { etcd, server, address, audit_log, admin })
    }

    /// Where it listens, with TLS.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client with the administrator's token, past the gateway.
    pub fn admin(&self) -> &Client {
        &self.admin
    }

    /// Its audit log so far: every stage of every request.
    pub fn audit_log(&self) -> Vec<Value> {
        let log = fs::read_to_string(&self.audit_log).unwrap_or_default();
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Ends both.
    pub async fn stop(mut self) -> Result<()> {
        self.server.stop().await?;
        self.etcd.stop().await
    }
}

const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n";
