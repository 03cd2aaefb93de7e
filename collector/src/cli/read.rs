//! `sessions`, `search`, `show` and `recorders`.

use super::source::SourceArguments;
use super::{DatabaseArguments, Failure, Format, output};
use crate::present::table;
use crate::store::Reader;
use crate::store::filter::Filter;
use clap::Args;

#[derive(Args)]
pub(super) struct SessionsArguments {
    #[command(flatten)]
    source: SourceArguments,
    #[command(flatten)]
    filter: Filter,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// How to print.
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

#[derive(Args)]
pub(super) struct SearchArguments {
    /// What to look for.
    words: Vec<String>,
    #[command(flatten)]
    source: SourceArguments,
    #[command(flatten)]
    filter: Filter,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// How to print.
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

#[derive(Args)]
pub(super) struct ShowArguments {
    /// The exchange's id, which is also the Audit-ID in the API server's log.
    exchange: String,
    #[command(flatten)]
    source: SourceArguments,
    /// How to print.
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

#[derive(Args)]
pub(super) struct RecordersArguments {
    #[command(flatten)]
    source: SourceArguments,
    /// How to print.
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

pub(super) async fn open(source: &DatabaseArguments) -> Result<Reader, Failure> {
    Ok(Reader::open(&source.database).await?.with_bodies(source.bodies.open()?))
}

/// The database at one moment.
pub(super) async fn snapshot(source: &DatabaseArguments) -> Result<Reader, Failure> {
    Ok(Reader::snapshot(&source.database).await?.with_bodies(source.bodies.open()?))
}

pub(super) async fn sessions(arguments: SessionsArguments) -> Result<(), Failure> {
    arguments.filter.check()?;
    let source = arguments.source.open().await?;
    let list = source.sessions(&arguments.filter, arguments.limit.max(1)).await?;
    match arguments.output {
        format @ (Format::Json | Format::Yaml) => output::value(format, &list)?,
        Format::Text if list.sessions.is_empty() => output::lines(["No sessions."])?,
        Format::Text => output::lines([table::sessions(&list.sessions)])?,
    }
    Ok(())
}

pub(super) async fn recorders(arguments: RecordersArguments) -> Result<(), Failure> {
    let recorders = arguments.source.open().await?.recorders().await?;
    match arguments.output {
        format @ (Format::Json | Format::Yaml) => output::value(format, &recorders)?,
        Format::Text if recorders.is_empty() => output::lines(["No recorders yet."])?,
        Format::Text => output::lines([table::recorders(&recorders)])?,
    }
    Ok(())
}

pub(super) async fn search(arguments: SearchArguments) -> Result<(), Failure> {
    let SearchArguments { words, source, mut filter, limit, output: format } = arguments;
    filter.words = (!words.is_empty()).then(|| words.join(" "));
    filter.check()?;
    let list = source.open().await?.exchanges(&filter, limit.max(1)).await?;
    match format {
        Format::Json | Format::Yaml => output::value(format, &list)?,
        Format::Text if list.exchanges.is_empty() => output::lines(["Nothing found."])?,
        Format::Text => output::lines([table::exchanges(&list.exchanges)])?,
    }
    Ok(())
}

pub(super) async fn show(arguments: ShowArguments) -> Result<(), Failure> {
    let found = arguments.source.open().await?.exchange(&arguments.exchange).await?;
    let detail = found.ok_or(Failure::Missing { what: "exchange", id: arguments.exchange })?;
    match arguments.output {
        format @ (Format::Json | Format::Yaml) => output::value(format, &detail)?,
        Format::Text => output::lines(table::exchange(&detail))?,
    }
    Ok(())
}
