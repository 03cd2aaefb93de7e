//! kubectl, as a person types it.

mod rows;

use crate::agent::{Agent, Desk, Outcome, fetched};
use crate::cluster::Cluster;
use crate::table::{Ends, Row};
use anyhow::{Context as _, Result, bail, ensure};
use chaperone_test_harness::process;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

pub use rows::{rows, rows_1_37};

/// How long one line may take.
const PATIENCE: Duration = Duration::from_secs(40);
/// A manifest: its name, which labels may follow, and its values.
const SECRET: &str =
    r#"secret() { printf 'apiVersion: v1\nkind: Secret\nmetadata: {name: %s}\n%s\n' "$1" "$2"; }"#;

/// A shell whose `kubectl` is of one version.
pub struct Kubectl(Desk);

/// kubectl 1.37, from `.venv`.
pub async fn new(desk: Desk) -> Result<Option<Kubectl>> {
    Kubectl::start(desk, process::fetched("kubectl").ok(), "v1.37.").await
}

/// kubectl 1.20, Debian's.
pub async fn old(desk: Desk) -> Result<Option<Kubectl>> {
    Kubectl::start(desk, fetched("kubectl-1.20"), "v1.20.").await
}

impl Kubectl {
    async fn start(desk: Desk, program: Option<PathBuf>, version: &str) -> Result<Option<Self>> {
        let Some(program) = program else { return Ok(None) };
        std::os::unix::fs::symlink(program, desk.folder.join("kubectl"))?;
        let kubectl = Self(desk);
        let said = kubectl
            .shell("kubectl version --client && kubectl config set-context --current --namespace $NS")
            .await?;
        ensure!(
            said.code == 0 && said.out.contains(version),
            "no kubectl {version}: {}{}",
            said.out,
            said.err
        );
        Ok(Some(kubectl))
    }

    async fn shell(&self, line: &str) -> Result<Outcome> {
        let mut command = self.0.command("/bin/sh");
        command.args(["-c", &format!("{SECRET}; {line}")]);
        let output = timeout(PATIENCE, command.output()).await.with_context(|| format!("{line} hung"))??;
        Ok(Outcome {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Reads until the texts are there, while somebody writes.
    async fn follow(&self, row: &Row, cluster: &Cluster) -> Result<Outcome> {
        let mut command = self.0.command("/bin/sh");
        command.args(["-c", row.command]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let mut stdout = child.stdout.take().context("no output")?;
        let mut out = Vec::new();
        let shown = async {
            loop {
                let text = String::from_utf8_lossy(&out);
                if row.shows.iter().all(|shown| text.contains(shown)) {
                    return Ok(());
                }
                match timeout(Duration::from_millis(200), stdout.read_buf(&mut out)).await {
                    Ok(Ok(0)) => bail!("it ended"),
                    Ok(read) => drop(read?),
                    Err(_) => cluster.touch().await?,
                }
            }
        };
        let ended = timeout(PATIENCE, shown).await.unwrap_or_else(|_| Err(anyhow::anyhow!("it hung")));
        child.kill().await?;
        let complaint = child.wait_with_output().await?.stderr;
        Ok(Outcome {
            code: i32::from(ended.is_err()),
            out: String::from_utf8_lossy(&out).into_owned(),
            err: String::from_utf8_lossy(&complaint).into_owned(),
        })
    }
}

impl Agent for Kubectl {
    async fn act(&mut self, row: &Row, cluster: &Cluster) -> Result<Outcome> {
        match row.ends {
            Ends::Streams => self.follow(row, cluster).await,
            _ => self.shell(row.command).await,
        }
    }

    async fn end(self) -> Result<()> {
        Ok(())
    }
}
