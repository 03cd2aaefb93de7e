//! `verify`: is everything there, and unchanged?

use super::{Failure, Format, Source, output, serve};
use crate::evidence::chain::{self, Report};
use crate::present::{GREEN, RED, YELLOW, counted, sanitize::line, styled};
use crate::store::Database;
use crate::store::sqlite::Reader;
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    source: Source,
    /// Public keys to check signatures with: a JWK set or PEM. Without one only the chains are checked.
    #[arg(long, value_name = "FILE")]
    public_key: Vec<PathBuf>,
    /// How to print.
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

pub(super) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let keys = serve::keys(&arguments.public_key)?;
    let Database::Sqlite(path) = &arguments.source.database;
    let report = chain::verify(&Reader::open(path).await?, &keys).await?;
    match arguments.output {
        Format::Json => output::json(&report)?,
        Format::Text => output::lines(text(&report))?,
    }
    Ok(if report.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn text(report: &Report) -> Vec<String> {
    let mut out =
        vec![format!("{} of {} checked.", batches(report.batches), counted(report.recorders, "recorder"))];
    out.push(if report.signatures_checked {
        format!("{} signed by a given key.", batches(report.signed))
    } else {
        styled(YELLOW, "Signatures were not checked: no --public-key was given.")
    });
    for (findings, style, word) in [(&report.gaps, YELLOW, "GAP"), (&report.problems, RED, "WRONG")] {
        for finding in findings {
            let batch = finding.batch.map_or(String::new(), |batch| format!(", batch {batch}"));
            let place = format!("recorder {}{batch}", line(&finding.recorder));
            out.push(format!("{} {place}: {}", styled(style, word), line(&finding.message)));
        }
    }
    out.push(match report.problems.len() {
        0 => styled(GREEN, "Nothing is wrong."),
        count => styled(RED, &format!("{} wrong.", counted(count as i128, "thing"))),
    });
    out
}

fn batches(count: u64) -> String {
    if count == 1 { "1 batch".into() } else { format!("{count} batches") }
}
