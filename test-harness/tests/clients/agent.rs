//! Who works at a client: what an invocation gave, and the folder that the client may write to.

use crate::cluster::Cluster;
use crate::table::Row;
use anyhow::Result;
use chaperone_test_harness::process::{Process, WorkDir};
use std::fs;
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// A client that is used row by row.
pub trait Agent {
    /// Does what the row says.
    async fn act(&mut self, row: &Row, cluster: &Cluster) -> Result<Outcome>;

    /// Ends what still runs.
    async fn end(self) -> Result<()>
    where
        Self: Sized;
}

/// What a row gave.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Its exit status, or what corresponds to it: 0 where all went well.
    pub code: i32,
    /// What the client showed.
    pub out: String,
    /// What it complained of.
    pub err: String,
}

/// Where a client works: everything that it writes goes there.
pub struct Desk {
    /// The namespace, and the session.
    pub name: String,
    /// How the gateway is reached.
    pub kubeconfig: PathBuf,
    /// Home, working folder and place for temporary files in one.
    pub folder: PathBuf,
}

impl Desk {
    /// A new, empty one.
    pub fn new(name: &str, kubeconfig: PathBuf, dir: &WorkDir) -> Result<Self> {
        let folder = dir.path(format!("{name}-desk"));
        fs::create_dir(&folder)?;
        Ok(Self { name: name.to_owned(), kubeconfig, folder })
    }

    /// A program at this desk, and nothing of the environment beside it.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Process::command(program.as_ref());
        command
            .current_dir(&self.folder)
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", self.folder.display()))
            .env("HOME", &self.folder)
            .env("TMPDIR", &self.folder)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("NS", &self.name);
        command
    }
}

/// A client that `scripts/clients` fetched.
pub fn fetched(name: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache")))?;
    Some(cache.join("chaperone/clients").join(name)).filter(|program| program.exists())
}
