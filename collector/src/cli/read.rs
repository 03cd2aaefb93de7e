//! `sessions`, `show`, `replay` and `recorders`.

use super::{Failure, Format, Source, output};
use crate::present::{table, timeline::Timeline};
use crate::server::now;
use crate::store::Reader;
use crate::store::filter::Filter;
use crate::store::model::{ExchangeDetail, ExchangeSummary, SessionSummary};
use clap::Args;
use serde::Serialize;

/// Exchanges read at a time.
const PAGE: u32 = 500;

#[derive(Args)]
pub(super) struct SessionsArguments {
    #[command(flatten)]
    source: Source,
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
    source: Source,
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
    source: Source,
    /// How to print.
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

#[derive(Args)]
pub(super) struct ReplayArguments {
    /// The session's id, as `chaperone sessions` lists it.
    session: String,
    #[command(flatten)]
    source: Source,
    /// Print request and response bodies below each step.
    #[arg(long)]
    bodies: bool,
    /// Tell every discovery request too.
    #[arg(long)]
    all: bool,
    /// How to print.
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

#[derive(Args)]
pub(super) struct RecordersArguments {
    #[command(flatten)]
    source: Source,
    /// How to print.
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

pub(super) async fn open(source: &Source) -> Result<Reader, Failure> {
    Ok(Reader::open(&source.database).await?.with_bodies(source.bodies.open()?))
}

/// The database at one moment.
pub(super) async fn snapshot(source: &Source) -> Result<Reader, Failure> {
    Ok(Reader::snapshot(&source.database).await?.with_bodies(source.bodies.open()?))
}

pub(super) async fn sessions(arguments: SessionsArguments) -> Result<(), Failure> {
    arguments.filter.check()?;
    let reader = open(&arguments.source).await?;
    let list = reader.sessions(&arguments.filter, arguments.limit.max(1), None).await?;
    match arguments.output {
        format @ (Format::Json | Format::Yaml) => output::value(format, &list)?,
        Format::Text if list.sessions.is_empty() => output::lines(["No sessions."])?,
        Format::Text => output::lines([table::sessions(&list.sessions)])?,
    }
    Ok(())
}

pub(super) async fn recorders(arguments: RecordersArguments) -> Result<(), Failure> {
    let recorders = open(&arguments.source).await?.recorders(now()).await?;
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
    let list = open(&source).await?.exchanges(&filter, limit.max(1), None).await?;
    match format {
        Format::Json | Format::Yaml => output::value(format, &list)?,
        Format::Text if list.exchanges.is_empty() => output::lines(["Nothing found."])?,
        Format::Text => output::lines([table::exchanges(&list.exchanges)])?,
    }
    Ok(())
}

pub(super) async fn show(arguments: ShowArguments) -> Result<(), Failure> {
    let found = open(&arguments.source).await?.exchange(&arguments.exchange).await?;
    let detail = found.ok_or(Failure::Missing { what: "exchange", id: arguments.exchange })?;
    match arguments.output {
        format @ (Format::Json | Format::Yaml) => output::value(format, &detail)?,
        Format::Text => output::lines(table::exchange(&detail))?,
    }
    Ok(())
}

pub(super) async fn replay(arguments: ReplayArguments) -> Result<(), Failure> {
    let reader = open(&arguments.source).await?;
    match arguments.output {
        Format::Json | Format::Yaml => replay_value(&reader, &arguments).await,
        Format::Text => replay_text(&reader, &arguments).await,
    }
}

async fn replay_text(reader: &Reader, arguments: &ReplayArguments) -> Result<(), Failure> {
    let (mut after, mut timeline) = (None::<String>, None::<Timeline>);
    loop {
        let page = reader.session_detail(&arguments.session, PAGE, after.as_deref()).await?;
        let page = page.ok_or_else(|| Failure::Missing { what: "session", id: arguments.session.clone() })?;
        let timeline = match &mut timeline {
            Some(timeline) => timeline,
            none => {
                let new = none.insert(Timeline::new(page.summary, page.gaps, arguments.all));
                output::lines(new.header())?;
                new
            }
        };
        for exchange in &page.exchanges {
            let detail = if arguments.bodies { reader.exchange(&exchange.exchange).await? } else { None };
            output::lines(timeline.step(exchange, detail.as_ref()))?;
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    output::lines(timeline.map(Timeline::finish).unwrap_or_default())?;
    Ok(())
}

/// A whole session as JSON: with `--bodies` the exchanges carry their entries.
#[derive(Serialize)]
struct Replay {
    #[serde(flatten)]
    summary: SessionSummary,
    exchanges: Vec<Step>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Step {
    Summary(Box<ExchangeSummary>),
    Detail(Box<ExchangeDetail>),
}

async fn replay_value(reader: &Reader, arguments: &ReplayArguments) -> Result<(), Failure> {
    let (mut after, mut exchanges) = (None::<String>, Vec::new());
    let summary = loop {
        let page = reader.session_detail(&arguments.session, PAGE, after.as_deref()).await?;
        let page = page.ok_or_else(|| Failure::Missing { what: "session", id: arguments.session.clone() })?;
        for exchange in page.exchanges {
            let detail = if arguments.bodies { reader.exchange(&exchange.exchange).await? } else { None };
            exchanges.push(match detail {
                Some(detail) => Step::Detail(Box::new(detail)),
                None => Step::Summary(Box::new(exchange)),
            });
        }
        after = page.next;
        if after.is_none() {
            break page.summary;
        }
    };
    output::value(arguments.output, &Replay { summary, exchanges })?;
    Ok(())
}
