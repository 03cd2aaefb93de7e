//! `chaperone serve`, and its command line.

use crate::client::Client;
use crate::process::{Process, WorkDir, built};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

const START: Duration = Duration::from_secs(20);

/// A collector with its database, tokens and key.
pub struct Collector {
    program: PathBuf,
    database: PathBuf,
    keys: PathBuf,
    port_file: PathBuf,
    ingest_token: String,
    auditor_token: String,
    address: SocketAddr,
    process: Option<Process>,
}

impl Collector {
    /// Makes a key and tokens, and starts the collector on a new database and a free port.
    pub async fn start(dir: &WorkDir) -> Result<Self> {
        let token = || uuid::Uuid::new_v4().simple().to_string();
        let mut collector = Self {
            program: built("chaperone")?,
            database: dir.path("records.db"),
            keys: dir.path("keys"),
            port_file: dir.path("collector-port"),
            ingest_token: token(),
            auditor_token: token(),
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            process: None,
        };
        let keys = collector.keys.display().to_string();
        collector.run(&["keygen", "--out", &keys]).await?;
        dir.write("ingest-token", &collector.ingest_token)?;
        dir.write("auditor-token", &collector.auditor_token)?;
        collector.start_again(dir).await?;
        Ok(collector)
    }

    /// Starts it where it was stopped: the same port, the same database.
    pub async fn start_again(&mut self, dir: &WorkDir) -> Result<()> {
        let _ = fs::remove_file(&self.port_file);
        // A write beyond a limit on files fails, as on a full disk, instead of ending the program.
        let mut command = Process::command("sh");
        command
            .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
            .arg(&self.program)
            .args(["serve", "--listen", &self.address.to_string(), "--log-format", "json"])
            .arg("--port-file")
            .arg(&self.port_file)
            .arg("--database")
            .arg(&self.database)
            .arg("--ingest-token-file")
            .arg(dir.path("ingest-token"))
            .arg("--auditor-token-file")
            .arg(dir.path("auditor-token"))
            .arg("--public-key")
            .arg(self.public_keys());
        let mut process = Process::start("collector", command, dir)?;
        let address = async || fs::read_to_string(&self.port_file).ok()?.trim().parse().ok();
        self.address = process.until("address", START, address).await?;
        self.process = Some(process);
        Ok(())
    }

    /// Ends it in good order.
    pub async fn stop(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.stop().await,
            None => Ok(()),
        }
    }

    /// Kills it, as a crash would.
    pub async fn kill(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// Fills its disk: files cannot grow beyond so many bytes any more; none makes room again.
    pub async fn limit_files(&self, bytes: Option<u64>) -> Result<()> {
        let id = self.process().and_then(Process::id).context("the collector does not run")?;
        let limit = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        let mut command = Process::command("prlimit");
        command.arg(format!("--fsize={limit}:unlimited")).args(["--pid", &id.to_string()]);
        let output = command.output().await.context("prlimit")?;
        ensure!(output.status.success(), "prlimit: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Its process, while it runs.
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Where it listens; stays the same when it is started again.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What filters post with.
    pub fn ingest_token(&self) -> &str {
        &self.ingest_token
    }

    /// What auditors read with.
    pub fn auditor_token(&self) -> &str {
        &self.auditor_token
    }

    /// Its API, as an auditor uses it.
    pub fn client(&self) -> Client {
        Client::plain(self.address).with_token(&self.auditor_token)
    }

    /// The key that filters sign with, PEM.
    pub fn signing_key(&self) -> Result<String> {
        fs::read_to_string(self.keys.join("signing-key.pem")).context("the signing key")
    }

    /// The file of the key that signatures are checked with.
    pub fn public_keys(&self) -> PathBuf {
        self.keys.join("public-keys.json")
    }

    /// The database.
    pub fn database(&self) -> &Path {
        &self.database
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Runs a command on the database, and gives what it prints.
    pub async fn run(&self, arguments: &[&str]) -> Result<String> {
        self.printed(arguments, false).await
    }

    /// The same of a command that says with its exit status 1 that it found something.
    pub async fn run_any(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Process::command(&self.program);
        command.args(arguments).env("CHAPERONE_DATABASE", &self.database).env("NO_COLOR", "1");
        let output = command.output().await?;
        let err = String::from_utf8_lossy(&output.stderr);
        ensure!(matches!(output.status.code(), Some(0 | 1)), "chaperone {}: {err}", arguments.join(" "));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The same, in colour for a terminal.
    pub async fn printed(&self, arguments: &[&str], colour: bool) -> Result<String> {
        let mut command = Process::command(&self.program);
        command.args(arguments).env("CHAPERONE_DATABASE", &self.database);
        if colour {
            command.env("CLICOLOR_FORCE", "1").env_remove("NO_COLOR");
        } else {
            command.env("NO_COLOR", "1").env_remove("CLICOLOR_FORCE");
        }
        let output = command.output().await?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success(), "chaperone {}: {}: {out}{err}", arguments.join(" "), output.status);
        Ok(out.into_owned())
    }

    /// What verification finds, right or wrong, as JSON.
    pub async fn report(&self) -> Result<Value> {
        let mut command = Process::command(&self.program);
        command.args(["verify", "-o", "json", "--public-key"]).arg(self.public_keys());
        let output = command.env("CHAPERONE_DATABASE", &self.database).output().await?;
        match serde_json::from_slice(&output.stdout) {
            Ok(report) => Ok(report),
            Err(_) => bail!("chaperone verify: {}", String::from_utf8_lossy(&output.stderr)),
        }
    }

    /// A session, with every entry of its exchanges.
    pub async fn session(&self, session: &str) -> Result<Value> {
        let json = self.run(&["replay", session, "--all", "--bodies", "-o", "json"]).await?;
        Ok(serde_json::from_str(&json)?)
    }

    /// Checks every chain and signature.
    pub async fn verify(&self) -> Result<String> {
        let keys = self.public_keys().display().to_string();
        self.run(&["verify", "--public-key", &keys]).await
    }
}
