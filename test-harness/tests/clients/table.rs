//! The table of a client: named rows, each with what must come of it.

use crate::agent::{Agent, Outcome};
use crate::cluster::Cluster;
use anyhow::{Result, ensure};
use std::time::Instant;

/// What stands in for a value, in base64.
pub const MASK: &str = "W21hc2tlZCBieSBjaGFwZXJvbmVd";
/// Why masks are refused.
pub const HELD: &str = "holds the text that stands for a masked value";

/// What a client does, and what must come of it.
pub struct Row {
    /// What a person would call it.
    pub name: &'static str,
    /// A shell line, Python, or a tool's name and arguments.
    pub command: &'static str,
    /// How it ends.
    pub ends: Ends,
    /// Texts that the person must see.
    pub shows: &'static [&'static str],
    /// What it leaves in the cluster, beside the Secrets that nothing may touch.
    pub leaves: Leaves,
}

/// How a row ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// The client says that all went well.
    Works,
    /// As `diff` ends where there are differences: with status 1, and that is no failure.
    Differs,
    /// It is shown as it comes and ended once the texts are there.
    Streams,
    /// The client says that it failed.
    Refused,
}

/// What a row leaves in the cluster.
#[derive(Clone, Copy, Debug)]
pub enum Leaves {
    /// Nothing to look at.
    Nothing,
    /// A Secret with this value of a key.
    Value(&'static str, &'static str, &'static str),
    /// A Secret without this key.
    NoKey(&'static str, &'static str),
    /// No such Secret.
    Gone(&'static str),
}

/// A row that works.
pub fn works(name: &'static str, command: &'static str, shows: &'static [&'static str]) -> Row {
    Row { name, command, ends: Ends::Works, shows, leaves: Leaves::Nothing }
}

/// A row that finds differences.
pub fn differs(name: &'static str, command: &'static str, shows: &'static [&'static str]) -> Row {
    Row { ends: Ends::Differs, ..works(name, command, shows) }
}

/// A row that goes on until the texts are there.
pub fn streams(name: &'static str, command: &'static str, shows: &'static [&'static str]) -> Row {
    Row { ends: Ends::Streams, ..works(name, command, shows) }
}

/// A row that is refused.
pub fn refused(name: &'static str, command: &'static str, shows: &'static [&'static str]) -> Row {
    Row { ends: Ends::Refused, ..works(name, command, shows) }
}

impl Row {
    /// And leaves this value in the cluster.
    pub fn leaves(self, secret: &'static str, key: &'static str, value: &'static str) -> Self {
        Self { leaves: Leaves::Value(secret, key, value), ..self }
    }

    /// And the Secret lacks a key.
    pub fn drops(self, secret: &'static str, key: &'static str) -> Self {
        Self { leaves: Leaves::NoKey(secret, key), ..self }
    }

    /// And the Secret is gone.
    pub fn removes(self, secret: &'static str) -> Self {
        Self { leaves: Leaves::Gone(secret), ..self }
    }

    async fn check(&self, outcome: &Outcome, cluster: &Cluster) -> Result<()> {
        cluster.no_value("its output", outcome.out.as_bytes())?;
        cluster.no_value("its complaint", outcome.err.as_bytes())?;
        cluster.untouched().await?;
        let printed = format!("{}{}", outcome.out, outcome.err);
        let as_said = match self.ends {
            Ends::Works | Ends::Streams => outcome.code == 0,
            Ends::Differs => outcome.code == 1,
            Ends::Refused => outcome.code != 0,
        };
        ensure!(as_said, "{:?} expected, ended with {}: {printed}", self.ends, outcome.code);
        for text in self.shows {
            ensure!(printed.contains(text), "no {text:?} in {printed}");
        }
        match self.leaves {
            Leaves::Nothing => Ok(()),
            Leaves::Value(secret, key, value) => cluster.holds(secret, key, value).await,
            Leaves::NoKey(secret, key) => cluster.lacks(secret, key).await,
            Leaves::Gone(secret) => cluster.gone(secret).await,
        }
    }
}

/// Runs the rows one after the other, and prints the table; gives what went wrong.
pub async fn run(client: &str, agent: &mut impl Agent, cluster: &Cluster, rows: &[Row]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut printed = String::new();
    for row in rows {
        let begun = Instant::now();
        let outcome = agent.act(row, cluster).await;
        let took = begun.elapsed().as_millis();
        let checked = match outcome {
            Ok(outcome) => row.check(&outcome, cluster).await,
            Err(error) => Err(error),
        };
        let verdict = if checked.is_ok() { "ok   " } else { "WRONG" };
        let ends = format!("{:?}", row.ends).to_lowercase();
        printed.push_str(&format!("{verdict} {client:12} {ends:8} {took:5} ms  {}\n", row.name));
        if let Err(error) = checked {
            wrong.push(format!("{client}, {}: {error:#}", row.name));
        }
    }
    eprint!("{printed}");
    wrong
}
