//! The collector under test, its database, and what both take of the machine.

use crate::postgres;
use sqlx::{AnyConnection, Connection as _, Row as _};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

pub const INGEST: &str = "bench-ingest-token-0123456789";
pub const AUDITOR: &str = "bench-auditor-token-0123456789";

/// A database and a `chaperone serve` on it; both are gone when it is dropped.
pub struct Place {
    folder: TempDir,
    /// PostgreSQL's; none where the database is a file in the folder.
    url: Option<String>,
    program: PathBuf,
    server: Child,
    pub base: String,
    pub pem: String,
    pub kid: String,
}

impl Place {
    pub fn new(program: &Path, on_postgres: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = on_postgres.then(postgres::new_database);
        let program = program.to_owned();
        let keygen =
            command(&program).args(["keygen", "--out", "keys"]).current_dir(folder.path()).output().unwrap();
        let printed = String::from_utf8(keygen.stdout).unwrap();
        let kid = printed.lines().find_map(|line| line.strip_prefix("kid")).unwrap().trim().to_owned();
        let pem = fs::read_to_string(folder.path().join("keys/signing-key.pem")).unwrap();
        let (server, base) = serve(&program, &folder, url.as_deref());
        Self { folder, url, program, server, base, pem, kid }
    }

    /// Ends the server and starts it again, with nothing in its memory.
    pub fn restart(&mut self) {
        self.stop();
        (self.server, self.base) = serve(&self.program, &self.folder, self.url.as_deref());
    }

    fn stop(&mut self) {
        let stopped = Command::new("kill").args(["-TERM", &self.server.id().to_string()]).status();
        assert!(stopped.unwrap().success());
        self.server.wait().unwrap();
    }

    /// Seconds of processor time that the server and its PostgreSQL have used.
    pub fn processor_seconds(&self) -> (f64, f64) {
        let postgres = self.url.as_ref().map_or(0.0, |url| {
            let folder = url.split_once("host=").unwrap().1;
            let file = fs::read_to_string(format!("{folder}/data/postmaster.pid")).unwrap();
            let postmaster: u32 = file.lines().next().unwrap().parse().unwrap();
            let children = fs::read_dir("/proc").unwrap().filter_map(|entry| {
                let id = entry.ok()?.file_name().to_str()?.parse().ok()?;
                let times = Times::of(id)?;
                (times.parent == postmaster).then_some(times.own)
            });
            let times = Times::of(postmaster).unwrap();
            children.sum::<f64>() + times.own + times.ended_children
        });
        (Times::of(self.server.id()).map_or(0.0, |times| times.own), postgres)
    }

    /// The most memory that the server has held, in MiB.
    pub fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.server.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
    }

    /// Bytes on disk of each table and index, the largest first. The server is started again for it.
    pub fn sizes(&mut self) -> Vec<(String, u64)> {
        self.restart();
        let (url, select) = match &self.url {
            None => (
                format!("sqlite://{}?mode=ro", self.folder.path().join("records.db").display()),
                "SELECT name, sum(pgsize) AS bytes FROM dbstat GROUP BY name ORDER BY bytes DESC",
            ),
            Some(url) => (
                url.clone(),
                "SELECT CAST(relname AS TEXT) AS name, pg_table_size(oid) AS bytes FROM pg_class \
                WHERE relkind IN ('r', 'i') AND relnamespace = CAST('public' AS regnamespace) ORDER BY bytes DESC",
            ),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let rows = runtime.block_on(async {
            sqlx::any::install_default_drivers();
            let mut connection = AnyConnection::connect(&url).await.unwrap();
            sqlx::query(select).fetch_all(&mut connection).await.unwrap()
        });
        rows.iter().map(|row| (row.get("name"), u64::try_from(row.get::<i64, _>("bytes")).unwrap())).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        if let Some(url) = &self.url {
            let name = url.split_once("localhost/").unwrap().1.split('?').next().unwrap();
            postgres::administer(&format!("DROP DATABASE {name} WITH (FORCE)"));
        }
    }
}

fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().stdin(Stdio::null());
    command
}

fn serve(program: &Path, folder: &TempDir, url: Option<&str>) -> (Child, String) {
    let mut server = command(program)
        .current_dir(folder.path())
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--log-format",
            "json",
            "--public-key",
            "keys/public-keys.json",
        ])
        .args(["--database", url.unwrap_or("records.db")])
        .env("CHAPERONE_COLLECTOR_TOKEN", INGEST)
        .env("CHAPERONE_AUDITOR_TOKEN", AUDITOR)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines().map_while(Result::ok);
    let listening = lines.by_ref().find(|line| line.contains("Listening.")).expect("the server starts");
    let listening: serde_json::Value = serde_json::from_str(&listening).unwrap();
    // What is not read would stop it.
    std::thread::spawn(move || lines.for_each(|line| eprintln!("{line}")));
    (server, format!("http://{}", listening["address"].as_str().unwrap()))
}

/// Seconds of processor time, as Linux counts them: in hundredths.
struct Times {
    parent: u32,
    own: f64,
    ended_children: f64,
}

impl Times {
    fn of(process: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let seconds = |index: usize| Some(fields.get(index)?.parse::<f64>().ok()? / 100.0);
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            own: seconds(11)? + seconds(12)?,
            ended_children: seconds(13)? + seconds(14)?,
        })
    }
}

/// A client of the server.
pub fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(120)));
    config.build().into()
}
