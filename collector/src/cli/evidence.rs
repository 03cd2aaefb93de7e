//! `checkpoint` and `export`: what is taken out of the collector to prove something later.

use super::client::{Client, ClientError};
use super::source::SourceArguments;
use super::{DatabaseArguments, Failure, output, progress, read};
use crate::evidence::checkpoint::Checkpoint;
use crate::export::order::{Exported, Form, Order};
use crate::present::counted;
use crate::server::now;
use crate::store::Reader;
use crate::store::filter::Filter;
use clap::Args;
use indicatif::ProgressBar;
use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::PathBuf;

#[derive(Args)]
pub(super) struct CheckpointArguments {
    #[command(flatten)]
    source: DatabaseArguments,
}

#[derive(Args)]
pub(super) struct ExportArguments {
    #[command(flatten)]
    source: SourceArguments,
    #[command(flatten)]
    filter: Filter,
    /// What to write. A bundle is of one --session, or of a time, or of everything: other options choose exchanges.
    #[arg(long, value_enum, default_value_t = Form::Bundle)]
    format: Form,
    /// asciicast: the exchange of the exec or attach. It may be left out where its --session has only one.
    #[arg(long, value_name = "EXCHANGE")]
    exchange: Option<String>,
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
    arguments.filter.check()?;
    let order = Order { form: arguments.format, filter: arguments.filter, exchange: arguments.exchange };
    order.check()?;
    let from = match arguments.source.client()? {
        Some(client) => From::Server(client),
        None => {
            let reader = Reader::snapshot(&arguments.source.database).await?;
            From::Database(reader.with_bodies(arguments.source.bodies.open()?))
        }
    };
    let Some(path) = &arguments.out else {
        let out = io::stdout();
        let bar = if out.is_terminal() { ProgressBar::hidden() } else { progress::bytes("Exporting", None) };
        return from.write(&order, bar.wrap_write(out.lock())).await.map(|text| tell(&bar, &text));
    };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let failed = |source| Failure::File { path: path.clone(), source };
    let file = options.open(path).map_err(failed)?;
    let bar = progress::bytes("Exporting", None);
    let written = match from.write(&order, bar.wrap_write(&file)).await {
        Ok(text) => file.sync_all().map(|()| text).map_err(failed),
        Err(failure) => Err(failure),
    };
    if written.is_err() {
        // Half an export must not be taken for one.
        let _ = fs::remove_file(path);
    }
    written.map(|text| tell(&bar, &text))
}

fn tell(bar: &ProgressBar, text: &str) {
    bar.finish_and_clear();
    anstream::eprintln!("{text}");
}

/// Where an export comes from.
enum From {
    Database(Reader),
    Server(Client),
}

impl From {
    async fn write(&self, order: &Order, out: impl Write) -> Result<String, Failure> {
        let missing = || {
            let Order { filter, exchange, .. } = order;
            let what = order.missing().trim_start_matches("no such ");
            let id = exchange.clone().or_else(|| filter.session.clone()).unwrap_or_default();
            Failure::Missing { what, id }
        };
        let mut out = BufWriter::new(out);
        match self {
            Self::Database(reader) => {
                let exported = order.write(reader, now(), out).await?.ok_or_else(missing)?;
                Ok(match exported {
                    Exported::Batches(batches, recorders) => {
                        let batches =
                            if batches == 1 { "1 batch".to_owned() } else { format!("{batches} batches") };
                        format!("Exported {batches} of {}.", counted(recorders as i128, "recorder"))
                    }
                    Exported::Exchanges(exchanges) => {
                        format!("Exported {}.", counted(i128::from(exchanges), "exchange"))
                    }
                })
            }
            Self::Server(client) => {
                let mut body = stream(client, order)?.ok_or_else(missing)?;
                let copied = tokio::task::block_in_place(|| io::copy(&mut body, &mut out));
                let copied = copied.map_err(|source| ClientError::Cut { source })?;
                out.flush()?;
                Ok(format!("Exported {}.", counted(i128::from(copied), "byte")))
            }
        }
    }
}

/// An export as a collector sends it; none where there is no such session.
pub(super) fn stream(client: &Client, order: &Order) -> Result<Option<impl io::Read + use<>>, Failure> {
    let mut query = order.filter.parameters();
    query.push(("format", order.form.as_str().to_owned()));
    query.extend(order.exchange.clone().map(|exchange| ("exchange", exchange)));
    Ok(client.stream(&["v1", "export"], &query, None)?.map(ureq::Body::into_reader))
}
