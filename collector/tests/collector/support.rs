//! A real `chaperone serve` on a free port with a database of its own; both are gone when it is dropped.

use crate::postgres;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::pkcs8::DecodePrivateKey as _;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};
use std::cell::Cell;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use tempfile::TempDir;

pub const INGEST: &str = "ingest-token-0123456789";
pub const AUDITOR: &str = "auditor-token-0123456789";
pub const ZEROS: &str = "0000000000000000000000000000000000000000000000000000000000000000";
pub const SIGNATURE: &str = "chaperone-signature";

/// The kinds of databases that a test is run on.
#[derive(Clone, Copy)]
pub enum Kind {
    Sqlite,
    Postgres,
}

thread_local! {
    /// Where the places of this thread's test keep their records.
    static KIND: Cell<Kind> = const { Cell::new(Kind::Sqlite) };
}

/// Runs a test on a kind of database.
pub fn on(kind: Kind, test: fn()) {
    if matches!(kind, Kind::Postgres) && !postgres::is_there() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "PostgreSQL is needed (Debian: postgresql)");
        return eprintln!("SKIPPED: there is no PostgreSQL in /usr/lib/postgresql.");
    }
    KIND.set(kind);
    test();
}

/// Makes each of these functions a test on each kind of database.
macro_rules! on_each_database {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[test] fn $name() { $crate::support::on($crate::support::Kind::Sqlite, super::$name); })*
        }
        mod postgres {
            $(#[test] fn $name() { $crate::support::on($crate::support::Kind::Postgres, super::$name); })*
        }
    };
}
pub(crate) use on_each_database;

/// A folder, a database, and the program that works on it.
pub struct Place {
    pub folder: TempDir,
    /// PostgreSQL's; none where the database is a file in the folder.
    url: Option<String>,
}

impl Place {
    pub fn new() -> Self {
        let url = match KIND.get() {
            Kind::Sqlite => None,
            Kind::Postgres => Some(postgres::new_database()),
        };
        Self { folder: tempfile::tempdir().unwrap(), url }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What `--database` is.
    pub fn database(&self) -> String {
        self.url.clone().unwrap_or_else(|| self.path("records.db").to_str().unwrap().to_owned())
    }

    /// Ends every connection to a PostgreSQL database; unless `open`, no other can be made.
    pub fn disconnect(&self, open: bool) {
        let url = self.url.as_deref().expect("a PostgreSQL database");
        let (_, rest) = url.split_once("localhost/").unwrap();
        let (name, _) = rest.split_once('?').unwrap();
        postgres::administer(&format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {open}"));
        postgres::administer(&format!(
            "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE datname = '{name}'"
        ));
    }

    /// True where the database is a file.
    pub fn is_file(&self) -> bool {
        self.url.is_none()
    }

    /// A connection that holds the database against every writer until it is dropped.
    pub async fn lock(&self) -> sqlx::AnyConnection {
        let mut connection = self.connect().await;
        let lock = match self.is_file() {
            true => "BEGIN IMMEDIATE",
            false => "BEGIN; LOCK TABLE batches IN EXCLUSIVE MODE",
        };
        sqlx::raw_sql(lock).execute(&mut connection).await.unwrap();
        connection
    }

    async fn connect(&self) -> sqlx::AnyConnection {
        sqlx::any::install_default_drivers();
        let url = match &self.url {
            Some(url) => url.clone(),
            None => format!("sqlite://{}", self.database()),
        };
        <sqlx::AnyConnection as sqlx::Connection>::connect(&url).await.unwrap()
    }

    /// Takes the database away, so that only what was exported from it is left.
    pub fn forget_database(&mut self) {
        match &mut self.url {
            None => std::fs::remove_file(self.path("records.db")).unwrap(),
            Some(url) => "postgres://localhost/none?host=/nowhere".clone_into(url),
        }
    }

    /// Runs a command on the database and returns what it printed.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = program();
        if arguments.first() != Some(&"keygen") {
            command.env("CHAPERONE_DATABASE", self.database());
        }
        command.args(arguments).current_dir(self.folder.path()).output().unwrap()
    }

    /// The same, with more in its environment.
    pub fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut command = program();
        command.env("CHAPERONE_DATABASE", self.database()).envs(environment.iter().copied());
        command.args(arguments).current_dir(self.folder.path()).output().unwrap()
    }

    /// The same, expecting success.
    pub fn text(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.text(arguments)).unwrap()
    }

    /// Runs a command and returns its exit status and the codes of what is wrong, each with its place.
    pub fn verdict(&self, arguments: &[&str]) -> (Option<i32>, Vec<String>) {
        let output = self.run(&[&["verify", "-o", "json"], arguments].concat());
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code(), codes(report["problems"].as_array().unwrap_or(&Vec::new())))
    }

    /// Does something to the database behind the program's back.
    pub fn sql(&self, statements: &str) {
        let statements = sqlx::AssertSqlSafe(statements.to_owned());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection = self.connect().await;
            sqlx::raw_sql(statements).execute(&mut connection).await.unwrap();
            sqlx::Connection::close(connection).await.unwrap();
        });
    }

    pub fn serve(&self, arguments: &[&str]) -> Server {
        Server::start(self, arguments, INGEST, AUDITOR)
    }

    /// A server that was given no auditor token.
    pub fn serve_without_auditors(&self) -> Server {
        Server::start(self, &[], INGEST, "")
    }

    /// A server that was given no token at all.
    pub fn serve_without_tokens(&self) -> Server {
        Server::start(self, &[], "", "")
    }
}

/// `missing r-1 2` for each problem, in order, once.
pub fn codes(problems: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut codes: Vec<String> = problems
        .iter()
        .map(|p| [&p["code"], &p["recorder"], &p["batch"]].map(text).join(" ").replace(" null", ""))
        .collect();
    codes.sort();
    codes.dedup();
    codes
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chaperone"));
    command.env_clear().stdin(Stdio::null());
    command
}

/// A running server.
pub struct Server {
    child: Child,
    pub base: String,
    agent: ureq::Agent,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

impl Server {
    fn start(place: &Place, arguments: &[&str], ingest: &str, auditor: &str) -> Self {
        Self::start_as(program(), place, arguments, ingest, auditor)
    }

    /// Starts `program`, which runs the collector in the end.
    pub fn start_as(
        mut program: Command,
        place: &Place,
        arguments: &[&str],
        ingest: &str,
        auditor: &str,
    ) -> Self {
        let mut child = program
            .current_dir(place.folder.path())
            .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--port-file"])
            .arg(place.path("port"))
            .arg("--database")
            .arg(place.database())
            .args(arguments)
            .env("CHAPERONE_COLLECTOR_TOKEN", ingest)
            .env("CHAPERONE_AUDITOR_TOKEN", auditor)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (lines, log) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        // Reads to the end, also once nobody listens: a server whose log is not read would stand still.
        std::thread::spawn(move || {
            stderr.lines().map_while(Result::ok).for_each(|line| drop(lines.send(line)))
        });
        let mut server = Self { child, base: String::new(), agent: agent() };
        let listening = await_log(&log, "Listening.");
        server.base = format!("http://{}", listening["address"].as_str().unwrap());
        server
    }

    pub fn post(&self, body: &[u8]) -> Answer {
        self.post_with(body, &[("authorization", &format!("Bearer {INGEST}"))])
    }

    pub fn post_with(&self, body: &[u8], headers: &[(&str, &str)]) -> Answer {
        let mut request = self.agent.post(format!("{}/v1/records", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request.send(body))
    }

    /// The answer, where there is one.
    pub fn try_post(&self, body: &[u8]) -> Option<Answer> {
        let request = self.agent.post(format!("{}/v1/records", self.base));
        let sent = request.header("authorization", format!("Bearer {INGEST}")).send(body);
        sent.is_ok().then(|| answer(sent))
    }

    pub fn get(&self, path: &str) -> Answer {
        self.get_with(path, Some(AUDITOR))
    }

    pub fn get_with(&self, path: &str, token: Option<&str>) -> Answer {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        answer(request.call())
    }

    /// The value of a metric, by the beginning of its line.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get_with("/metrics", None).body;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        line.unwrap_or_else(|| panic!("no {name} in {text}"))
    }

    /// Its process' id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as a service manager does, and waits for it.
    pub fn terminate(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }

    /// Ends it as a power cut does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads the log until a line has this message, and returns that line.
fn await_log(log: &mpsc::Receiver<String>, message: &str) -> Value {
    let mut seen = Vec::new();
    while let Ok(line) = log.recv_timeout(Duration::from_secs(30)) {
        let parsed: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
        if parsed["message"] == message {
            return parsed;
        }
        seen.push(line);
    }
    panic!("{message} did not appear in the log: {seen:#?}");
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(60)));
    config.build().into()
}

pub fn answer(result: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
    let mut response = result.unwrap();
    Answer {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: response.body_mut().read_to_string().unwrap(),
    }
}

/// A batch's bytes.
pub fn batch(recorder: &str, number: u64, previous: &str, entries: &[Value]) -> Vec<u8> {
    json!({"recorder": recorder, "batch": number, "previous": previous, "entries": entries})
        .to_string()
        .into_bytes()
}

/// Bytes of batches that follow each other, from 0.
pub fn chain(recorder: &str, batches: &[&[Value]]) -> Vec<Vec<u8>> {
    let mut previous = ZEROS.to_owned();
    let link = |(number, entries): (usize, &&[Value])| {
        let body = batch(recorder, number as u64, &previous, entries);
        previous = chaperone::evidence::sha256_hex(&body);
        body
    };
    batches.iter().enumerate().map(link).collect()
}

/// A key made by `keygen`, and its name.
pub fn keygen(place: &Place, folder: &str) -> (SigningKey, String) {
    let printed = place.text(&["keygen", "--out", folder]);
    let kid = printed.lines().find_map(|line| line.strip_prefix("kid")).unwrap().trim().to_owned();
    let pem = std::fs::read_to_string(place.path(folder).join("signing-key.pem")).unwrap();
    let public = std::fs::read_to_string(place.path(folder).join("public-keys.json")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&public).unwrap()["keys"][0]["kid"], *kid);
    (SigningKey::from_pkcs8_pem(&pem).unwrap(), kid)
}

/// The signature header that a filter with this key sends.
pub fn sign(key: &SigningKey, kid: &str, body: &[u8]) -> String {
    let header = URL_SAFE_NO_PAD.encode(json!({"alg": "EdDSA", "kid": kid}).to_string());
    let input = format!("{header}.{}", URL_SAFE_NO_PAD.encode(body));
    format!("{header}..{}", URL_SAFE_NO_PAD.encode(key.sign(input.as_bytes()).to_bytes()))
}

/// Posts a batch with or without a signature.
pub fn post(server: &Server, body: &[u8], signature: Option<&str>) -> Answer {
    let token = format!("Bearer {INGEST}");
    let mut headers = vec![("authorization", token.as_str())];
    headers.extend(signature.map(|signature| (SIGNATURE, signature)));
    server.post_with(body, &headers)
}

/// A moment of the test's day.
pub fn at(millis: u64) -> String {
    format!("2026-11-23T08:{:02}:{:02}.{:03}000Z", millis / 60_000 % 60, millis / 1000 % 60, millis % 1000)
}

/// The head of a request as the filter writes it.
pub fn head(session: &str, exchange: &str, verb: &str, uri: &str, object: Value) -> Value {
    json!({
        "exchange": exchange, "session": session, "method": "GET", "requestURI": uri, "verb": verb, "objectRef": object,
        "user": {"username": "alice", "groups": ["agents", "devs"], "issuer": "https://idp.example.com", "tokenID": "t-1"},
        "attribution": {
            "agent": {"value": "claude-code", "source": "claim:act.sub", "verified": true},
            "model": {"value": "model-7", "source": "header:x-agent-model", "verified": false},
            "prompt": {"value": "prompt-1", "source": "claim:prompt_sha256", "verified": true},
        },
        "sourceIPs": ["192.0.2.1"], "userAgent": "kubectl/v1.37.0",
        "decision": {"allowed": true, "rule": "access.default"},
    })
}

/// One object with the members of both.
pub fn with(mut base: Value, more: Value) -> Value {
    let (Value::Object(all), Value::Object(more)) = (&mut base, more) else { panic!("two objects") };
    all.extend(more);
    base
}

/// A buffered exchange that was answered.
pub fn exchange(head: Value, code: u16, started: u64, took: u64) -> Value {
    with(
        head,
        json!({"type": "exchange", "responseStatus": {"code": code}, "outcome": "complete",
        "timing": {"received": at(started), "complete": at(started + took)}}),
    )
}

pub fn pods(session: &str, id: &str, started: u64) -> Value {
    let object = json!({"apiVersion": "v1", "resource": "pods", "namespace": "shop"});
    exchange(head(session, id, "list", "/api/v1/namespaces/shop/pods?limit=500", object), 200, started, 12)
}

/// All files of a folder.
pub fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The repository's own Python, where `make` has made one: it has the package.
pub fn python() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/python3");
    if own.exists() { own } else { PathBuf::from("python3") }
}
