//! `replay`: a session step by step, at once, with its own timing, or as it happens.

mod answer;
mod asked;
mod discovery;
mod following;
mod play;
mod prompts;
mod screen;
mod serve;

use super::follow::Follower;
use super::source::{Source, SourceArguments};
use super::{Failure, Format, output};
use crate::present::change::{self, Object, Place};
use crate::present::timeline::Timeline;
use crate::store::filter::{Filter, span};
use crate::store::model::{ExchangeDetail, ExchangeSummary, SessionSummary, State};
use chaperone_record::Timestamp;
use clap::Args;
use serde::Serialize;
use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;

/// Exchanges read at a time.
const PAGE: u32 = 500;

#[derive(Args)]
pub(super) struct Arguments {
    /// The session's id, as `chaperone sessions` lists it.
    session: String,
    #[command(flatten)]
    source: SourceArguments,
    /// Print request and response bodies below each step.
    #[arg(long)]
    bodies: bool,
    /// Print below each write what it changed, as a diff, where the session tells what was there before.
    #[arg(long)]
    diff: bool,
    /// Tell prompts only, each with how much was done for it.
    #[arg(long, conflicts_with_all = ["bodies", "diff"])]
    prompts: bool,
    /// Tell every discovery request too.
    #[arg(long)]
    all: bool,
    /// Tell each step when it happened, so many times as fast as it did: 1, 10, 0.5, or `max`, which waits for nothing.
    #[arg(long, value_name = "N", default_value = "max", value_parser = speed)]
    speed: Speed,
    /// Longest wait between two steps, like 3s.
    #[arg(long, value_name = "SPAN", default_value = "3s", value_parser = span)]
    max_idle: Duration,
    /// Go on as further exchanges arrive, until Ctrl-C.
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    play: play::PlayArguments,
    #[command(flatten)]
    serve: serve::ServeArguments,
    /// How to print.
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

/// How many times as fast as it happened.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Speed {
    Max,
    Times(f64),
}

fn speed(text: &str) -> Result<Speed, &'static str> {
    if text == "max" {
        return Ok(Speed::Max);
    }
    let times: Option<f64> = text.parse().ok().filter(|times: &f64| (0.001..=1_000_000.0).contains(times));
    times.map(Speed::Times).ok_or("neither `max` nor a number from 0.001 to 1000000")
}

/// Waits between steps as long as passed between them.
struct Pace {
    speed: Speed,
    max_idle: Duration,
    last: Option<Timestamp>,
}

impl Pace {
    fn wait(&mut self, step: Timestamp) -> Duration {
        let last = self.last.replace(step).unwrap_or(step);
        let passed = Duration::from_micros(step.micros().saturating_sub(last.micros()));
        match self.speed {
            Speed::Max => Duration::ZERO,
            Speed::Times(times) => passed.div_f64(times).min(self.max_idle),
        }
    }
}

pub(super) async fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let source = arguments.source.open().await?;
    if let Some(address) = arguments.serve.address() {
        return serve::run(source, &arguments.session, &arguments.serve, address, arguments.output).await;
    }
    if let Some(exchange) = &arguments.play.exchange {
        let pace = Pace::of_exchange(arguments.speed, arguments.max_idle);
        let played = play::run(&source, &arguments.session, exchange, &arguments.play, pace);
        return tokio::select! {
            played = played => played.map(|()| ExitCode::SUCCESS),
            _ = tokio::signal::ctrl_c() => {
                play::stop()?;
                Ok(ExitCode::SUCCESS)
            }
        };
    }
    tell(&source, &arguments).await.map(|()| ExitCode::SUCCESS)
}

async fn tell(source: &Source, arguments: &Arguments) -> Result<(), Failure> {
    let plays = arguments.follow || arguments.speed != Speed::Max;
    match arguments.output {
        Format::Json | Format::Yaml if plays => {
            Err(Failure::Usage("--speed and --follow play a session for people: leave -o away"))
        }
        Format::Json | Format::Yaml => value(source, arguments).await,
        Format::Text if arguments.prompts => prompts::tell(source, &arguments.session).await,
        Format::Text if plays => {
            // Every line has been written whole: whoever has seen enough leaves nothing behind.
            tokio::select! {
                told = text(source, arguments) => told,
                _ = tokio::signal::ctrl_c() => Ok(()),
            }
        }
        Format::Text => text(source, arguments).await,
    }
}

async fn text(source: &Source, arguments: &Arguments) -> Result<(), Failure> {
    // Before the first page is read: what arrives from then on is told by one or the other.
    let follower = match arguments.follow {
        true => {
            let session = Some(arguments.session.clone());
            Some(Follower::begin(source, Filter { session, ..Filter::default() }).await?)
        }
        false => None,
    };
    let mut pace = Pace { speed: arguments.speed, max_idle: arguments.max_idle, last: None };
    let mut told = HashMap::<String, State>::new();
    let mut objects = HashMap::new();
    let first = source.session_detail(&arguments.session, PAGE, None).await?;
    let mut timeline = Timeline::new(first.summary, first.gaps, arguments.all);
    output::lines(timeline.header())?;
    let (mut exchanges, mut next) = (first.exchanges, first.next);
    loop {
        for exchange in &exchanges {
            tokio::time::sleep(pace.wait(exchange.time)).await;
            step(source, arguments, &mut timeline, &mut objects, exchange).await?;
            if arguments.follow {
                told.insert(exchange.exchange.clone(), exchange.state);
            }
        }
        let Some(after) = next else { break };
        let page = source.session_detail(&arguments.session, PAGE, Some(&after)).await?;
        (exchanges, next) = (page.exchanges, page.next);
    }
    if let Some(mut follower) = follower {
        while let Some(exchange) = follower.next().await? {
            if told.insert(exchange.exchange.clone(), exchange.state) != Some(exchange.state) {
                step(source, arguments, &mut timeline, &mut objects, &exchange).await?;
            }
        }
    }
    output::lines(timeline.finish())?;
    Ok(())
}

async fn step(
    source: &Source,
    arguments: &Arguments,
    timeline: &mut Timeline,
    objects: &mut HashMap<Place, Object>,
    exchange: &ExchangeSummary,
) -> Result<(), Failure> {
    let detail = match arguments.bodies || arguments.diff {
        true => source.exchange(&exchange.exchange).await?,
        false => None,
    };
    output::lines(timeline.step(exchange, detail.as_ref().filter(|_| arguments.bodies)))?;
    if let Some(detail) = detail.filter(|_| arguments.diff)
        && let Some(object) = Object::of(&detail)
    {
        if let Some(before) = objects.get(&object.place).filter(|_| change::is_change(&detail)) {
            output::lines(change::told(before, &object).iter().map(|line| format!("      {line}")))?;
        }
        objects.insert(object.place.clone(), object);
    }
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

async fn value(source: &Source, arguments: &Arguments) -> Result<(), Failure> {
    let (mut after, mut exchanges) = (None::<String>, Vec::new());
    let summary = loop {
        let page = source.session_detail(&arguments.session, PAGE, after.as_deref()).await?;
        for exchange in page.exchanges {
            let detail = if arguments.bodies { source.exchange(&exchange.exchange).await? } else { None };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_as_far_apart_as_they_were_but_idle_time_is_cut() {
        let at = Timestamp::from_micros;
        for (name, speed, waits) in [
            ("as it was", "1", [0, 500, 3000]),
            ("twice as fast", "2", [0, 250, 3000]),
            ("a thousand times", "1000", [0, 0, 60]),
            ("at once", "max", [0, 0, 0]),
        ] {
            let mut pace =
                Pace { speed: super::speed(speed).unwrap(), max_idle: Duration::from_secs(3), last: None };
            let waited = [1_000_000, 1_500_000, 61_500_000].map(|time| pace.wait(at(time)).as_millis());
            assert_eq!(waited, waits, "{name}");
        }
        for wrong in ["0", "-1", "fast", "NaN", "inf"] {
            assert!(super::speed(wrong).is_err(), "{wrong}");
        }
    }
}
