//! `checkpoint` and `export`: what is taken out of the collector to prove something later.

use super::{Failure, Source, output, read};
use crate::evidence::bundle;
use crate::evidence::checkpoint::Checkpoint;
use crate::evidence::scope::Scope;
use crate::present::counted;
use crate::server::now;
use crate::store::Reader;
use crate::store::filter::moment;
use chaperone_record::Timestamp;
use clap::Args;
use std::fs::OpenOptions;
use std::io::{self, BufWriter};
use std::path::PathBuf;

#[derive(Args)]
pub(super) struct CheckpointArguments {
    #[command(flatten)]
    source: Source,
}

#[derive(Args)]
pub(super) struct ExportArguments {
    #[command(flatten)]
    source: Source,
    /// Only what holds this session.
    #[arg(long, value_name = "ID", conflicts_with_all = ["since", "until"])]
    session: Option<String>,
    /// Only what holds exchanges that began at this moment or later, like 2026-11-23T08:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Only what holds exchanges that began until this moment.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
    /// The file to write; one that is there is never overwritten. Default: standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) async fn checkpoint(arguments: CheckpointArguments) -> Result<(), Failure> {
    let checkpoint = Checkpoint::take(&read::snapshot(&arguments.source).await?, now()).await?;
    output::json(&checkpoint)?;
    Ok(())
}

pub(super) async fn export(arguments: ExportArguments) -> Result<(), Failure> {
    let reader = read::snapshot(&arguments.source).await?;
    let scope = scope(&reader, &arguments).await?;
    let (manifest, batches) = match arguments.out {
        None => bundle::export(&reader, scope, now(), BufWriter::new(io::stdout().lock())).await?,
        Some(path) => {
            let mut options = OpenOptions::new();
            options.write(true).create_new(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let failed = |source| Failure::File { path: path.clone(), source };
            let file = options.open(&path).map_err(failed)?;
            let written = bundle::export(&reader, scope, now(), BufWriter::new(&file)).await?;
            file.sync_all().map_err(failed)?;
            written
        }
    };
    let batches = if batches == 1 { "1 batch".to_owned() } else { format!("{batches} batches") };
    let recorders = counted(manifest.chains.len() as i128, "recorder");
    anstream::eprintln!("Exported {batches} of {recorders}.");
    Ok(())
}

async fn scope(reader: &Reader, arguments: &ExportArguments) -> Result<Scope, Failure> {
    if let Some(session) = &arguments.session {
        let missing = || Failure::Missing { what: "session", id: session.clone() };
        return reader.session_scope(session).await?.ok_or_else(missing);
    }
    Ok(match (arguments.since, arguments.until) {
        (None, None) => Scope::Everything {},
        (since, until) => Scope::Time {
            since: since.unwrap_or(Timestamp::from_micros(0)),
            until: until.unwrap_or_else(now),
        },
    })
}
