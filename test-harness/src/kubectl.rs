//! kubectl, as an agent runs it.

use crate::process::{Process, WorkDir, fetched};
use anyhow::{Context as _, Result, bail};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

/// How long one invocation may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// kubectl with a kubeconfig of its own. It runs in the run's folder.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
    folder: PathBuf,
}

/// What an invocation printed.
#[derive(Clone, Debug)]
pub struct Printed {
    /// Whether its exit status was 0.
    pub success: bool,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Printed {
    /// Standard output, where the invocation succeeded.
    pub fn ok(self) -> Result<String> {
        if self.success { Ok(self.out) } else { bail!("kubectl failed: {}{}", self.out, self.err) }
    }

    /// Standard error, where the invocation failed.
    pub fn refused(self) -> Result<String> {
        if self.success { bail!("kubectl succeeded: {}", self.out) } else { Ok(self.err) }
    }
}

impl Kubectl {
    /// Writes a kubeconfig called `name` for a server, its certificate authority (PEM) and, maybe, a token.
    pub fn new(
        name: &str,
        server: &str,
        authority: &str,
        token: Option<&str>,
        dir: &WorkDir,
    ) -> Result<Self> {
        let authority = dir.write(&format!("{name}.ca"), authority)?;
        let user = token.map_or_else(|| json!({}), |token| json!({"token": token}));
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "chaperone", "cluster": {"server": server, "certificate-authority": authority}}],
            "users": [{"name": "agent", "user": user}],
            "contexts": [{"name": "chaperone", "context": {"cluster": "chaperone", "user": "agent"}}],
            "current-context": "chaperone",
        });
        let kubeconfig = dir.write(&format!("{name}.kubeconfig"), serde_json::to_vec_pretty(&config)?)?;
        Ok(Self {
            program: fetched("kubectl")?,
            kubeconfig,
            home: dir.path(format!("{name}-home")),
            folder: dir.path(""),
        })
    }

    /// The kubeconfig's path.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The program's path.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// An invocation, for what runs on while something else happens.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Process::command(&self.program);
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", &self.home)
            .env("KUBECONFIG", &self.kubeconfig)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs kubectl with arguments, split at blanks.
    pub async fn run(&self, arguments: &str) -> Result<Printed> {
        self.feed(arguments, "").await
    }

    /// The same, with a manifest on standard input.
    pub async fn feed(&self, arguments: &str, manifest: &str) -> Result<Printed> {
        let arguments: Vec<_> = arguments.split_whitespace().collect();
        let mut child = self.command(&arguments).stdin(Stdio::piped()).spawn().context("starting kubectl")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(manifest.as_bytes()).await?;
        }
        let output = timeout(PATIENCE, child.wait_with_output())
            .await
            .with_context(|| format!("kubectl {} hung", arguments.join(" ")))??;
        Ok(Printed {
            success: output.status.success(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }
}
