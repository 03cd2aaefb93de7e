//! `replay --exchange`: one exec or attach, as it ran: a terminal's output with its timing, else command, output and
//! exit code.

use super::screen::{RESTORE, Screen};
use super::{Pace, Speed};
use crate::cli::source::Source;
use crate::cli::{Failure, output};
use crate::present::sanitize::{line, lines};
use crate::present::sentence::sentence;
use crate::present::{BOLD, RED, styled, table};
use crate::store::model::ExchangeDetail;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chaperone_record::{Channel, Entry, Stream, Timestamp};
use clap::Args;
use std::io::{IsTerminal as _, Write as _};

#[derive(Args)]
pub(super) struct PlayArguments {
    /// Play this exec or attach of the session: in a terminal it looks as it did to the agent; --speed gives it its
    /// timing. Of an escape sequence only what prints, colours, erases and moves the cursor reaches the terminal.
    #[arg(long, value_name = "ID", conflicts_with_all = ["follow", "bodies", "all", "serve"])]
    pub(super) exchange: Option<String>,
    /// Pass on every byte as it was recorded. A recording can then do to the terminal whatever a program can: answer
    /// for you, fill the clipboard, change the title.
    #[arg(long, requires = "exchange")]
    raw: bool,
}

/// A piece of a channel, where it stands in time.
struct Piece {
    offset: u64,
    channel: Channel,
    data: Vec<u8>,
}

pub(super) async fn run(
    source: &Source,
    session: &str,
    exchange: &str,
    arguments: &PlayArguments,
    mut pace: Pace,
) -> Result<(), Failure> {
    let missing = || Failure::Missing { what: "exchange in this session", id: exchange.to_owned() };
    let detail = source.exchange(exchange).await?.ok_or_else(missing)?;
    if detail.summary.session.as_deref() != Some(session) {
        return Err(missing());
    }
    let options = detail.summary.requested.as_ref().and_then(|head| head.stream_options.clone());
    let Some(options) = options else {
        output::lines(table::exchange(&detail))?;
        return Ok(());
    };
    let pieces = pieces(&detail);
    output::lines([styled(BOLD, &sentence(&detail.summary))])?;
    if !options.tty {
        output::lines(apart(&detail, &options.command, &pieces))?;
        return Ok(());
    }
    if let Some(size) = pieces.iter().find(|piece| piece.channel == Channel::Resize) {
        let size: serde_json::Value = serde_json::from_slice(&size.data).unwrap_or_default();
        if let (Some(width), Some(height)) = (size["Width"].as_u64(), size["Height"].as_u64()) {
            output::lines([format!("in a terminal of {width} columns and {height} lines")])?;
        }
    }
    let terminal = std::io::stdout().is_terminal();
    let (mut screen, mut line_ended) = (Screen::default(), true);
    let shown = pieces.iter().filter(|piece| matches!(piece.channel, Channel::Stdout | Channel::Stderr));
    for piece in shown {
        tokio::time::sleep(pace.wait(Timestamp::from_micros(piece.offset))).await;
        let mut out = std::io::stdout().lock();
        match arguments.raw {
            true => out.write_all(&piece.data)?,
            false if terminal => out.write_all(screen.pass(&piece.data).as_bytes())?,
            false => {
                let text = plain(&screen.pass(&piece.data));
                line_ended = text.chars().next_back().map_or(line_ended, |last| last == '\n');
                out.write_all(text.as_bytes())?;
            }
        }
        out.flush()?;
    }
    stop()?;
    output::lines((!line_ended).then(String::new).into_iter().chain(ended(&detail)))?;
    Ok(())
}

/// What is left of a terminal's output in a file.
fn plain(text: &str) -> String {
    let text = anstream::adapter::strip_str(text).to_string();
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

/// Leaves the terminal as it was, wherever the recording stopped.
pub(super) fn stop() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if out.is_terminal() {
        out.write_all(RESTORE.as_bytes())?;
    }
    out.flush()
}

impl Pace {
    /// Of one exchange: time counts from its first moment.
    pub(super) fn of_exchange(speed: Speed, max_idle: std::time::Duration) -> Self {
        Self { speed, max_idle, last: Some(Timestamp::from_micros(0)) }
    }
}

fn pieces(detail: &ExchangeDetail) -> Vec<Piece> {
    let streams =
        detail.entries.iter().filter_map(|entry| match serde_json::from_value(entry.entry.clone()) {
            Ok(Entry::Stream(piece)) => Some(piece),
            _ => None,
        });
    let mut streams: Vec<Stream> = streams.collect();
    streams.sort_by_key(|piece| (piece.offset, piece.channel, piece.position));
    let decoded = streams.into_iter().map(|piece| {
        let text = piece.data.as_str().unwrap_or_default();
        let data = match piece.encoding.as_deref() {
            Some("base64") => STANDARD.decode(text).unwrap_or_default(),
            _ => text.as_bytes().to_vec(),
        };
        Piece { offset: piece.offset, channel: piece.channel, data }
    });
    decoded.collect()
}

/// Command, what went in and what came out, each for itself.
fn apart(detail: &ExchangeDetail, command: &[String], pieces: &[Piece]) -> Vec<String> {
    let mut out = vec![format!("command    {}", line(&command.join(" ")))];
    for (name, channel) in
        [("stdin", Channel::Stdin), ("stdout", Channel::Stdout), ("stderr", Channel::Stderr)]
    {
        let data: Vec<u8> = pieces
            .iter()
            .filter(|piece| piece.channel == channel)
            .flat_map(|piece| piece.data.clone())
            .collect();
        if data.is_empty() {
            continue;
        }
        out.push(name.to_owned());
        let text = String::from_utf8_lossy(&data);
        for text in lines(text.strip_suffix('\n').unwrap_or(&text)) {
            out.push(format!("  {}", if channel == Channel::Stderr { styled(RED, &text) } else { text }));
        }
    }
    out.extend(ended(detail));
    out
}

fn ended(detail: &ExchangeDetail) -> Vec<String> {
    let code = detail.entries.iter().find_map(|entry| entry.entry.pointer("/stream/exitCode")?.as_i64());
    match code {
        Some(0) => vec!["exit code  0".to_owned()],
        Some(code) => vec![styled(RED, &format!("exit code  {code}"))],
        None => vec!["exit code  not in the record".to_owned()],
    }
}
