//! `verify`: is everything there, and unchanged?

use super::evidence::stream;
use super::source::SourceArguments;
use super::{Failure, Format, output, progress, serve};
use crate::evidence::bundle::{self, Manifest};
use crate::evidence::checkpoint::Checkpoint;
use crate::evidence::database;
use crate::evidence::report::{Report, Verdict};
use crate::evidence::scope::Scope;
use crate::export::order::{Form, Order};
use crate::present::evidence;
use crate::server::now;
use crate::store::Reader;
use crate::store::filter::Filter;
use clap::Args;
use serde::Serialize;
use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args)]
pub(super) struct Arguments {
    /// An export to verify instead of a database.
    #[arg(value_name = "EXPORT", conflicts_with = "session")]
    export: Option<PathBuf>,
    #[command(flatten)]
    source: SourceArguments,
    /// Verify one session's part of the database.
    #[arg(long, value_name = "ID", conflicts_with = "checkpoint")]
    session: Option<String>,
    /// Public keys to check signatures with: a JWK set or PEM. May be given several times, for keys that were rotated.
    #[arg(long, value_name = "FILE")]
    public_key: Vec<PathBuf>,
    /// Public keys of those who may prune: what their tombstones say was pruned is not missing.
    #[arg(long, value_name = "FILE")]
    tombstone_public_key: Vec<PathBuf>,
    /// A checkpoint that was taken before: what it names must still be there.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Check chains without signatures. It proves nothing against whoever can write to the file.
    #[arg(long, conflicts_with = "public_key")]
    chains_only: bool,
    /// How to print.
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

/// A report as JSON: of an export, with its manifest.
#[derive(Serialize)]
struct Printed<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    export: Option<&'a Manifest>,
    #[serde(flatten)]
    report: &'a Report,
}

pub(super) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let keys = serve::keys(&arguments.public_key)?;
    let tombstone_keys = serve::keys(&arguments.tombstone_public_key)?;
    let checkpoint = arguments.checkpoint.as_deref().map(read_checkpoint).transpose()?;
    let client = match &arguments.export {
        Some(_) => None,
        None => arguments.source.client()?,
    };
    let (manifest, report) = match (&arguments.export, client) {
        (Some(path), _) => {
            let file = File::open(path).map_err(|source| Failure::File { path: path.clone(), source })?;
            let bar = progress::bytes("Verifying", file.metadata().ok().map(|file| file.len()));
            let input = BufReader::new(bar.wrap_read(file));
            let verified = bundle::verify(input, &keys, &tombstone_keys, checkpoint.as_ref());
            bar.finish_and_clear();
            let (manifest, report) =
                verified.map_err(|source| Failure::Bundle { path: path.clone(), source })?;
            (Some(manifest), report)
        }
        (None, Some(client)) => {
            // The collector's word is not taken: its whole evidence is, and checked here.
            let filter = Filter { session: arguments.session.clone(), ..Filter::default() };
            let id = arguments.session.clone().unwrap_or_default();
            let body = stream(&client, &Order { form: Form::Bundle, filter, exchange: None })?
                .ok_or(Failure::Missing { what: "session", id })?;
            let bar = progress::bytes("Verifying", None);
            let input = BufReader::new(bar.wrap_read(body));
            let verified = tokio::task::block_in_place(|| {
                bundle::verify(input, &keys, &tombstone_keys, checkpoint.as_ref())
            });
            bar.finish_and_clear();
            let path = PathBuf::from(arguments.source.server.as_deref().unwrap_or_default());
            let (manifest, report) = verified.map_err(|source| Failure::Bundle { path, source })?;
            (Some(manifest), report)
        }
        (None, None) => {
            let bar = progress::going("Verifying");
            let reader = Reader::snapshot(&arguments.source.database)
                .await?
                .with_bodies(arguments.source.bodies.open()?);
            let scope = match arguments.session {
                None => Scope::Everything {},
                Some(id) => {
                    reader.session_scope(&id).await?.ok_or(Failure::Missing { what: "session", id })?
                }
            };
            let report =
                database::verify(&reader, &keys, &tombstone_keys, checkpoint.as_ref(), &scope, now());
            let report = report.await?;
            bar.finish_and_clear();
            (None, report)
        }
    };
    match arguments.output {
        format @ (Format::Json | Format::Yaml) => {
            output::value(format, &Printed { export: manifest.as_ref(), report: &report })?;
        }
        Format::Text => {
            output::lines(manifest.iter().flat_map(evidence::manifest))?;
            output::lines(evidence::report(&report))?;
        }
    }
    Ok(match report.verdict() {
        Verdict::Whole => ExitCode::SUCCESS,
        Verdict::Unsigned if arguments.chains_only => ExitCode::SUCCESS,
        Verdict::Unsigned => ExitCode::from(2),
        Verdict::Broken => ExitCode::FAILURE,
    })
}

fn read_checkpoint(path: &Path) -> Result<Checkpoint, Failure> {
    let text = fs::read(path).map_err(|source| Failure::File { path: path.to_owned(), source })?;
    serde_json::from_slice(&text).map_err(|_| Failure::Checkpoint { path: path.to_owned() })
}
