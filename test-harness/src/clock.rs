//! A clock that jumps: another program's time of day, set from here.

use crate::process::WorkDir;
use anyhow::{Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Moves the clock of programs that are started with [`Clock::env`].
pub struct Clock {
    offset: PathBuf,
    library: PathBuf,
}

impl Clock {
    /// Builds what is preloaded into the program; none where there is no C compiler, or no preloading.
    pub fn new(dir: &WorkDir) -> Result<Option<Self>> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/clock.c");
        let (offset, library) = (dir.write("clock", 0i64.to_ne_bytes())?, dir.path("clock.so"));
        if !cfg!(target_os = "linux") {
            return Ok(None);
        }
        let compiled =
            Command::new("cc").args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(source).output();
        let Ok(compiled) = compiled else { return Ok(None) };
        ensure!(compiled.status.success(), "cc: {}", String::from_utf8_lossy(&compiled.stderr));
        Ok(Some(Self { offset, library }))
    }

    /// What the program is to find in its environment.
    pub fn env(&self) -> [(&'static str, String); 2] {
        [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("CHAPERONE_CLOCK", self.offset.display().to_string()),
        ]
    }

    /// The program's clock is so many seconds before or behind from now on.
    pub fn set(&self, seconds: i64) -> Result<()> {
        // In place: the program has the file mapped, and 8 aligned bytes change at once.
        use std::os::unix::fs::FileExt as _;
        let file = fs::File::options().write(true).open(&self.offset)?;
        Ok(file.write_all_at(&(seconds * 1_000_000_000).to_ne_bytes(), 0)?)
    }
}
