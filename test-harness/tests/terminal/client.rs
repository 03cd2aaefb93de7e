//! The clients: each does a row at a desk.

use crate::pods::{NAMESPACE, Pods};
use crate::rows::{Act, Row, Step};
use anyhow::{Context as _, Result, bail, ensure};
use chaperone_test_harness::client::Client;
use chaperone_test_harness::process::{Process, WorkDir, fetched, repository};
use hyper::body::Bytes;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

/// How long a row may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whose client it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The one of today, which speaks WebSocket.
    Kubectl,
    /// 1.20, which speaks SPDY only.
    OldKubectl,
    /// The Python package `kubernetes`.
    Python,
}

/// A client that is here.
pub struct Program {
    path: PathBuf,
    leading: Vec<String>,
}

/// What the client got.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its exit status.
    pub code: i32,
    /// What it printed, or what came through it.
    pub out: Bytes,
    /// What it complained of.
    pub err: Bytes,
}

/// Where a client works: with which server, and in which folder.
pub struct Desk {
    folder: PathBuf,
    /// Where the server is, and who asks.
    pub kubeconfig: PathBuf,
    port: u16,
    /// What the pods' HTTP server answers.
    pub page: Bytes,
    /// 10 MiB of every byte there is.
    pub random: Bytes,
}

impl Desk {
    /// A new one.
    pub fn new(name: &str, kubeconfig: &Path, pods: &Pods, dir: &WorkDir) -> Result<Self> {
        let folder = dir.path(format!("{name}-desk"));
        fs::create_dir(&folder)?;
        let mut random = vec![0; 10 << 20];
        fastrand::Rng::with_seed(2).fill(&mut random);
        let random = Bytes::from(random);
        fs::write(folder.join("random"), &random)?;
        Ok(Self {
            folder,
            kubeconfig: kubeconfig.to_owned(),
            port: pods.port,
            page: pods.page.clone(),
            random,
        })
    }

    /// The words of a command: `{…}` is replaced by what it is here.
    fn words(&self, words: &[&str]) -> Vec<String> {
        let replaced = |word: &&str| {
            word.replace("{dir}", &self.folder.display().to_string())
                .replace("{port}", &self.port.to_string())
                .replace("{ns}", NAMESPACE)
        };
        words.iter().map(replaced).collect()
    }

    fn env(&self) -> [(&str, String); 6] {
        [
            ("PATH", "/usr/bin:/bin".to_owned()),
            ("HOME", self.folder.display().to_string()),
            ("TMPDIR", self.folder.display().to_string()),
            ("KUBECONFIG", self.kubeconfig.display().to_string()),
            ("NS", NAMESPACE.to_owned()),
            ("TERM", "xterm".to_owned()),
        ]
    }
}

impl Program {
    /// Looks for a client.
    pub async fn find(kind: Kind) -> Option<Self> {
        let driver = |package: &'static str| async move {
            let path = fetched("python3").ok()?;
            let there = Command::new(&path).args(["-c", &format!("import {package}")]).output().await.ok()?;
            let driver =
                repository().join("test-harness/tests/terminal").join(format!("{package}_client.py"));
            there.status.success().then(|| Self { path, leading: vec![driver.display().to_string()] })
        };
        let in_namespace = || vec!["-n".to_owned(), NAMESPACE.to_owned()];
        match kind {
            Kind::Kubectl => Some(Self { path: fetched("kubectl").ok()?, leading: in_namespace() }),
            Kind::OldKubectl => {
                let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
                let cache = cache.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache")))?;
                let path = cache.join("chaperone/clients/kubectl-1.20");
                path.exists().then(|| Self { path, leading: in_namespace() })
            }
            Kind::Python => driver("kubernetes").await,
        }
    }

    /// Does a row.
    pub async fn run(&self, row: &Row, desk: &Desk) -> Result<Outcome> {
        let work = async {
            match &row.act {
                Act::Run(words, input) => self.piped(&desk.words(words), input, desk).await,
                Act::Terminal(words, steps) => self.on_terminal(&desk.words(words), steps, desk).await,
                Act::Copy => self.copied(desk).await,
                Act::Forward => self.forwarded(desk).await,
            }
        };
        timeout(PATIENCE, work).await.context("it hung")?
    }

    fn command(&self, words: &[String], desk: &Desk) -> Command {
        let mut command = Process::command(&self.path);
        command.args(&self.leading).args(words).current_dir(&desk.folder).env_clear().envs(desk.env());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    async fn piped(&self, words: &[String], input: &[u8], desk: &Desk) -> Result<Outcome> {
        let mut child = self.command(words, desk).stdin(Stdio::piped()).spawn()?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        let feeding = async move {
            // A client need not read it all.
            let _ = stdin.write_all(input).await;
        };
        let ((), output) = tokio::join!(feeding, child.wait_with_output());
        let output = output?;
        let code = output.status.code().context("it was killed")?;
        Ok(Outcome { code, out: output.stdout.into(), err: output.stderr.into() })
    }

    async fn on_terminal(&self, words: &[String], steps: &[(&str, Step)], desk: &Desk) -> Result<Outcome> {
        let (mut pty, pts) = pty_process::open()?;
        pty.resize(pty_process::Size::new(24, 80))?;
        let command = pty_process::Command::new(&self.path).args(&self.leading).args(words);
        let command = command.current_dir(&desk.folder).env_clear().envs(desk.env()).kill_on_drop(true);
        let mut child = command.spawn(pts)?;
        let mut out = Vec::new();
        let mut piece = vec![0; 4096];
        let mut steps = steps.iter().peekable();
        // A terminal ends with an error.
        while let Ok(count @ 1..) = pty.read(&mut piece).await {
            out.extend_from_slice(&piece[..count]);
            while let Some((_, step)) =
                steps.next_if(|(awaited, _)| String::from_utf8_lossy(&out).contains(awaited))
            {
                match step {
                    Step::Type(text) => pty.write_all(text.as_bytes()).await?,
                    Step::Resize(width, height) => pty.resize(pty_process::Size::new(*height, *width))?,
                }
            }
        }
        let code = child.wait().await?.code().context("it was killed")?;
        if let Some((awaited, _)) = steps.next() {
            bail!("{awaited:?} never came; exit status {code}, {:?}", String::from_utf8_lossy(&out));
        }
        Ok(Outcome { code, out: out.into(), err: Bytes::new() })
    }

    /// Copies a file into the pod and back; what came back is what came out.
    async fn copied(&self, desk: &Desk) -> Result<Outcome> {
        let there = desk.folder.join("there");
        let back = desk.folder.join("back");
        fs::create_dir_all(&there)?;
        let inside = format!("shell:{}/copy", there.display());
        for words in [["cp", "random", &inside], ["cp", &inside, "back"]] {
            let done = self.piped(&words.map(str::to_owned), b"", desk).await?;
            ensure!(done.code == 0, "{words:?}: {}", String::from_utf8_lossy(&done.err));
        }
        ensure!(fs::read(there.join("copy"))? == desk.random, "what arrived in the pod differs");
        let out = fs::read(&back)?;
        fs::remove_dir_all(there)?;
        fs::remove_file(back)?;
        Ok(Outcome { code: 0, out: out.into(), err: Bytes::new() })
    }

    /// Gets a page through a forwarded port, twice at a time.
    async fn forwarded(&self, desk: &Desk) -> Result<Outcome> {
        let ports = format!(":{}", desk.port);
        let words = ["port-forward", "--address", "127.0.0.1", "pod/shell", &ports].map(str::to_owned);
        let mut child = self.command(&words, desk).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no standard output")?).lines();
        let address = loop {
            let Some(line) = lines.next_line().await? else {
                let output = child.wait_with_output().await?;
                bail!("it ended: {}", String::from_utf8_lossy(&output.stderr));
            };
            let address = line.strip_prefix("Forwarding from ").and_then(|line| line.split(' ').next());
            if let Some(Ok(address)) = address.map(str::parse) {
                break address;
            }
        };
        let client = Client::plain(address);
        let (first, second) = tokio::try_join!(client.get("/"), client.get("/again"))?;
        ensure!(first.body == second.body, "the two pages differ");
        child.kill().await?;
        Ok(Outcome { code: 0, out: first.body, err: Bytes::new() })
    }
}
