//! `reconcile`: the API server's audit log against the records.

use super::{DatabaseArguments, Failure, Format, output, progress, read};
use crate::present::reconciliation::reconciliation;
use crate::reconcile::{AuditLog, ReconcileError};
use clap::Args;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct Arguments {
    /// The audit log's files, in any order; `-` is standard input.
    #[arg(required = true, value_name = "AUDIT_LOG_FILE")]
    logs: Vec<PathBuf>,
    #[command(flatten)]
    source: DatabaseArguments,
    /// Only requests of this user of the API server's: the one whose credential the gateway injects. May be repeated;
    /// without it everybody's requests must be in the records, those of the cluster's own parts too.
    #[arg(long, value_name = "NAME")]
    user: Vec<String>,
    /// How to print.
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

pub(super) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let mut log = AuditLog::default();
    for path in &arguments.logs {
        let failed = |source| Failure::File { path: path.clone(), source };
        let read = if path.as_os_str() == "-" {
            log.read(io::stdin().lock(), &arguments.user)
        } else {
            let file = File::open(path).map_err(failed)?;
            let bar = progress::bytes("Reading", file.metadata().ok().map(|file| file.len()));
            let read = log.read(BufReader::new(bar.wrap_read(file)), &arguments.user);
            bar.finish_and_clear();
            read
        };
        read.map_err(|error| match error {
            ReconcileError::Log(source) => failed(source),
            ReconcileError::Store(error) => error.into(),
        })?;
    }
    let bar = progress::going("Comparing");
    let found =
        log.reconcile(&read::snapshot(&arguments.source).await?).await.map_err(|error| match error {
            ReconcileError::Log(source) => Failure::Print(source),
            ReconcileError::Store(error) => error.into(),
        })?;
    bar.finish_and_clear();
    match arguments.output {
        format @ (Format::Json | Format::Yaml) => output::value(format, &found)?,
        Format::Text => output::lines(reconciliation(&found))?,
    }
    Ok(if found.agrees() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
