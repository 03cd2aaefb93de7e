//! A program that is asked, and answers, in lines of JSON.

use crate::agent::Desk;
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::fs::File;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// The program, running.
pub struct Conversation {
    child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Conversation {
    /// Starts it; what it complains of goes to a file at the desk.
    pub fn start(mut command: Command, desk: &Desk) -> Result<Self> {
        let complaints = File::create(desk.folder.join("stderr.log"))?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(complaints);
        let mut child = command.spawn()?;
        let stdin = child.stdin.take().context("no input")?;
        let stdout = BufReader::new(child.stdout.take().context("no output")?).lines();
        Ok(Self { child, stdin, stdout })
    }

    /// Says something.
    pub async fn say(&mut self, line: &Value) -> Result<()> {
        Ok(self.stdin.write_all(format!("{line}\n").as_bytes()).await?)
    }

    /// What it says next.
    pub async fn hear(&mut self) -> Result<Value> {
        match timeout(PATIENCE, self.stdout.next_line()).await.context("it hung")?? {
            Some(line) => serde_json::from_str(&line).with_context(|| line),
            None => bail!("it ended: {}", self.child.wait().await?),
        }
    }

    /// Ends it, as the end of its input does.
    pub async fn end(mut self) -> Result<()> {
        drop(self.stdin);
        timeout(PATIENCE, self.child.wait()).await.context("it did not end")??;
        Ok(())
    }
}
