//! `checkpoint` and `export`: what is taken out of the collector to prove something later.

use super::{Failure, Source, output, read};
use crate::evidence::bundle;
use crate::evidence::checkpoint::Checkpoint;
use crate::evidence::scope::Scope;
use crate::export::{self, Format, Selection};
use crate::present::counted;
use crate::server::now;
use crate::store::Reader;
use crate::store::filter::{Filter, moment};
use chaperone_record::Timestamp;
use clap::{Args, ValueEnum};
use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
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
    /// What to write.
    #[arg(long, value_enum, default_value_t = Form::Bundle)]
    format: Form,
    /// The file to write; one that is there is never overwritten. Default: standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What an export is written as.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Whole batches, as they came: what `verify` checks.
    Bundle,
    /// HTTP Archive, for browsers' developer tools.
    Har,
    /// OCSF API Activity (6003), one event a line.
    Ocsf,
    /// CloudEvents, one a line.
    Cloudevents,
}

pub(super) async fn checkpoint(arguments: CheckpointArguments) -> Result<(), Failure> {
    let checkpoint = Checkpoint::take(&read::snapshot(&arguments.source).await?, now()).await?;
    output::json(&checkpoint)?;
    Ok(())
}

pub(super) async fn export(arguments: ExportArguments) -> Result<(), Failure> {
    let reader = read::snapshot(&arguments.source).await?;
    let Some(path) = &arguments.out else {
        return write(&reader, &arguments, io::stdout().lock()).await;
    };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let failed = |source| Failure::File { path: path.clone(), source };
    let file = options.open(path).map_err(failed)?;
    write(&reader, &arguments, &file).await?;
    file.sync_all().map_err(failed)
}

async fn write(reader: &Reader, arguments: &ExportArguments, out: impl Write) -> Result<(), Failure> {
    let out = BufWriter::new(out);
    let format = match arguments.format {
        Form::Bundle => {
            let scope = scope(reader, arguments).await?;
            let (manifest, batches) = bundle::export(reader, scope, now(), out).await?;
            let batches = if batches == 1 { "1 batch".to_owned() } else { format!("{batches} batches") };
            let recorders = counted(manifest.chains.len() as i128, "recorder");
            anstream::eprintln!("Exported {batches} of {recorders}.");
            return Ok(());
        }
        Form::Har => Format::Har,
        Form::Ocsf => Format::Ocsf,
        Form::Cloudevents => Format::CloudEvents,
    };
    let selection = match &arguments.session {
        Some(session) => Selection::Session(session.clone()),
        None => Selection::Filter(Box::new(Filter {
            since: arguments.since,
            until: arguments.until,
            ..Filter::default()
        })),
    };
    let exported = export::export(reader, &selection, format, out).await?;
    let missing = || Failure::Missing { what: "session", id: arguments.session.clone().unwrap_or_default() };
    let exchanges = counted(i128::from(exported.ok_or_else(missing)?), "exchange");
    anstream::eprintln!("Exported {exchanges}.");
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
