//! Child processes that end with their parent, and their logs.

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// How often a condition is looked at that nothing announces.
const LOOK: Duration = Duration::from_millis(15);
/// How long a process may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(8);
/// So many lines of a log are quoted in an error.
const TAIL: usize = 25;

/// A folder for what one run writes. It stays, and its path is printed, unless the run says that all went well: what
/// failed can be looked at.
pub struct WorkDir(Option<TempDir>);

impl WorkDir {
    /// A new, empty folder.
    pub fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("chaperone-").tempdir().context("making a work folder")?;
        Ok(Self(Some(dir)))
    }

    /// A path in the folder.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.as_ref().map(TempDir::path).unwrap_or_else(|| Path::new("")).join(name)
    }

    /// Writes a file into the folder and gives its path.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.path(name);
        fs::write(&path, contents).with_context(|| path.display().to_string())?;
        Ok(path)
    }

    /// All went well: nothing stays.
    pub fn remove(mut self) {
        self.0.take();
    }
}

impl Drop for WorkDir {
    fn drop(&mut self) {
        if let Some(dir) = self.0.take() {
            eprintln!("Logs are kept in {}", dir.keep().display());
        }
    }
}

/// What a process holds in memory, in KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Now.
    pub resident: u64,
    /// At most.
    pub peak: u64,
}

/// A running program. It is killed when dropped, and by the kernel when this process ends in whatever way.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// A command that the kernel kills with the thread that starts it; so start it from one that lasts.
    pub fn command(program: impl AsRef<OsStr>) -> Command {
        let mut command = if Path::new("/usr/bin/setpriv").exists() {
            let mut command = Command::new("/usr/bin/setpriv");
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        // A Ctrl-C at the terminal is for this process; it ends the others in good order.
        command.process_group(0).kill_on_drop(true).stdin(Stdio::null());
        command
    }

    /// Starts a command; what it prints is added to `NAME.log` in the folder.
    pub fn start(name: &str, mut command: Command, dir: &WorkDir) -> Result<Self> {
        let log = dir.path(format!("{name}.log"));
        let file = OpenOptions::new().create(true).append(true).open(&log)?;
        command.stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Everything it has printed so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until `condition` gives something; gives up when the program has ended or the time is over.
    pub async fn until<T>(
        &mut self,
        what: &str,
        within: Duration,
        mut condition: impl AsyncFnMut() -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(value) = condition().await {
                return Ok(value);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status}) before {what}; its log ends:\n{}", self.name, self.tail());
            }
            if Instant::now() > deadline {
                bail!("{}: no {what} within {within:?}; its log ends:\n{}", self.name, self.tail());
            }
            sleep(LOOK).await;
        }
    }

    /// Asks it to end, and kills it where it does not.
    pub async fn stop(&mut self) -> Result<()> {
        if let Some(pid) = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            // An error says that it has ended already.
            let _ = kill_process(pid, Signal::TERM);
        }
        if timeout(PATIENCE, self.child.wait()).await.is_err() {
            self.kill().await?;
            bail!("{} had to be killed; its log ends:\n{}", self.name, self.tail());
        }
        Ok(())
    }

    /// Kills it, as a crash would.
    pub async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.with_context(|| format!("killing {}", self.name))
    }

    /// Its process id; none once it has ended.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Its memory now, and the most since the last call of [`Process::forget_peak`].
    pub fn memory(&self) -> Result<Memory> {
        let id = self.id().context("it has ended")?;
        let status = fs::read_to_string(format!("/proc/{id}/status")).context("no /proc here")?;
        let kibibytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_end_matches(" kB").trim().parse().ok()
        };
        let memory = || Some(Memory { resident: kibibytes("VmRSS:")?, peak: kibibytes("VmHWM:")? });
        memory().context("/proc does not tell its memory")
    }

    /// The peak is counted anew from now on.
    pub fn forget_peak(&self) -> Result<()> {
        let id = self.id().context("it has ended")?;
        fs::write(format!("/proc/{id}/clear_refs"), "5").context("the peak cannot be reset")
    }

    fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }
}

/// Waits until `condition` gives something.
pub async fn eventually<T>(
    what: &str,
    within: Duration,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(value) = condition().await {
            return Ok(value);
        }
        if Instant::now() > deadline {
            bail!("no {what} within {within:?}");
        }
        sleep(LOOK).await;
    }
}

/// A port that was free a moment ago, for programs that cannot take one themselves.
pub fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// The repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// A program of this workspace, as it was built with the one that runs now.
pub fn built(name: &str) -> Result<PathBuf> {
    let running = std::env::current_exe()?;
    let mut folder = running.parent().context("no folder of programs")?;
    if folder.ends_with("deps") {
        folder = folder.parent().context("no folder of programs")?;
    }
    existing(folder.join(name), "make build")
}

/// The filter, as `make build` leaves it.
pub fn filter() -> Result<PathBuf> {
    existing(target().join(FILTER), "make build")
}

/// The filter whose VM fails where a request asks for it.
pub fn panicking_filter() -> Result<PathBuf> {
    existing(target().join("test-panic").join(FILTER), "make test-faults")
}

const FILTER: &str = "wasm32-wasip1/release/chaperone_filter.wasm";

fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(target) => PathBuf::from(target),
        None => repository().join("target"),
    }
}

/// A program that is fetched into `.venv`.
pub fn fetched(name: &str) -> Result<PathBuf> {
    existing(repository().join(".venv/bin").join(name), "make test-e2e")
}

fn existing(path: PathBuf, made_by: &str) -> Result<PathBuf> {
    if path.exists() { Ok(path) } else { bail!("{} is missing: run `{made_by}`", path.display()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Process::command("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn an_early_end_is_told_with_the_logs_tail() {
        let dir = WorkDir::new().unwrap();
        let mut process = Process::start("early", shell("echo the reason; exit 3"), &dir).unwrap();
        let error = process.until("readiness", PATIENCE, async || None::<()>).await.unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("the reason"), "{error}");
        dir.remove();
    }

    #[tokio::test]
    async fn a_condition_is_awaited_and_a_stop_is_graceful() {
        let dir = WorkDir::new().unwrap();
        let script = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.02; done";
        let mut process = Process::start("polite", shell(script), &dir).unwrap();
        let log = process.log.clone();
        let up = async || fs::read_to_string(&log).ok()?.contains("up").then_some(());
        process.until("greeting", PATIENCE, up).await.unwrap();
        process.stop().await.unwrap();
        assert_eq!(process.log(), "up\nbye\n");
        dir.remove();
    }

    #[tokio::test]
    async fn a_killed_parent_takes_its_children_along() {
        if !Path::new("/usr/bin/setpriv").exists() {
            eprintln!("SKIPPED: no setpriv here");
            return;
        }
        // The test's own program stands in for a parent: a shell that starts a child as `command` does, and is killed.
        let dir = WorkDir::new().unwrap();
        let script = "/usr/bin/setpriv --pdeathsig KILL -- sleep 600 & echo $!; wait";
        let mut parent = Process::start("parent", shell(script), &dir).unwrap();
        let log = parent.log.clone();
        let child = async || fs::read_to_string(&log).ok()?.trim().parse::<u32>().ok();
        let child = parent.until("child", PATIENCE, child).await.unwrap();
        let status = format!("/proc/{child}/status");
        let sleeps = async || fs::read_to_string(&status).ok()?.starts_with("Name:\tsleep").then_some(());
        eventually("sleeping child", PATIENCE, sleeps).await.unwrap();
        parent.kill().await.unwrap();
        let gone = async || {
            let status = fs::read_to_string(&status).unwrap_or_default();
            (status.is_empty() || status.contains("State:\tZ")).then_some(())
        };
        eventually("end of the child", PATIENCE, gone).await.unwrap();
        dir.remove();
    }
}
