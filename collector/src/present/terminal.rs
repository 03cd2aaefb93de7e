//! What an exec or attach typed and printed, in the order of time and as text.

use crate::present::sentence::parameters;
use crate::store::model::ExchangeDetail;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chaperone_record::{Channel, Entry, Stream, StreamOptions, Timestamp};
use serde_json::Value;
use std::collections::BTreeMap;

/// Columns and rows of a terminal whose size is not recorded.
pub(crate) const SIZE: (u16, u16) = (80, 24);

/// Largest terminal: a size is what a client says.
const LARGEST: u16 = 500;

/// An exec or attach, as far as it was recorded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Recording {
    /// The command and its arguments; empty for attach.
    pub(crate) command: Vec<String>,
    /// True where it had a terminal.
    pub(crate) tty: bool,
    /// When it began.
    pub(crate) began: Timestamp,
    /// How long it went on, in microseconds; none where its end is not in the records.
    pub(crate) took: Option<u64>,
    /// What happened.
    pub(crate) events: Vec<Event>,
    /// The process's exit code, where it is known.
    pub(crate) exit_code: Option<i32>,
}

/// Something that happened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// When, in microseconds since the beginning.
    pub(crate) at: u64,
    /// What.
    pub(crate) kind: Kind,
}

/// What can happen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The agent typed.
    Input(String),
    /// The process printed.
    Output(String),
    /// The process printed as an error.
    Error(String),
    /// The terminal became so many columns and rows large.
    Resize(u16, u16),
    /// So many bytes of what was typed or printed are not in the records.
    Missing(u64),
}

impl Recording {
    /// None where the exchange is no exec or attach, or its contents are not recorded.
    pub(crate) fn of(detail: &ExchangeDetail) -> Option<Self> {
        let head = detail.summary.requested.as_ref()?;
        let object = head.object_ref.as_ref()?;
        if !matches!(object.subresource.as_str(), "exec" | "attach") {
            return None;
        }
        let entries = detail.entries.iter().filter_map(|e| serde_json::from_value(e.entry.clone()).ok());
        let (mut pieces, mut exit_code) = (Vec::new(), None);
        for entry in entries {
            match entry {
                Entry::Stream(piece) => pieces.push(piece),
                Entry::End(end) => exit_code = end.stream.and_then(|stream| stream.exit_code).or(exit_code),
                _ => {}
            }
        }
        if pieces.is_empty() {
            return None;
        }
        pieces.sort_by_key(|piece| (piece.offset, piece.channel, piece.position));
        let options = head.stream_options.clone().unwrap_or_else(|| asked(parameters(head)));
        let mut channels = BTreeMap::<Channel, Text>::new();
        let events = pieces.iter().flat_map(|piece| channels.entry(piece.channel).or_default().events(piece));
        let events = events.collect();
        let timing = &detail.summary.timing;
        let span = |to: Timestamp| Some(to.micros().saturating_sub(timing.received?.micros()));
        Some(Self {
            command: options.command,
            tty: options.tty,
            began: timing.received.unwrap_or(detail.summary.time),
            took: timing.complete.and_then(span),
            events,
            exit_code: exit_code.or_else(|| pieces.iter().filter_map(exit).next_back()),
        })
    }

    /// The terminal's size before anything is printed.
    pub(crate) fn size(&self) -> (u16, u16) {
        let before = self.events.iter().take_while(|event| !matches!(event.kind, Kind::Output(_)));
        before.filter_map(Event::size).last().unwrap_or(SIZE)
    }
}

impl Event {
    fn size(&self) -> Option<(u16, u16)> {
        match self.kind {
            Kind::Resize(columns, rows) => Some((columns, rows)),
            _ => None,
        }
    }
}

/// The bytes of a channel, as they become text.
#[derive(Default)]
struct Text {
    position: u64,
    /// The beginning of a character whose end is yet to come.
    begun: Vec<u8>,
}

impl Text {
    fn events(&mut self, piece: &Stream<Value>) -> Vec<Event> {
        let event = |kind| Event { at: piece.offset, kind };
        let data = bytes(piece);
        let mut events = Vec::new();
        let missing = piece.position.saturating_sub(self.position);
        if missing > 0 {
            events.push(event(Kind::Missing(missing)));
        }
        self.position = piece.position + data.len() as u64;
        if piece.channel == Channel::Resize {
            events.extend(sizes(&data).map(|(columns, rows)| event(Kind::Resize(columns, rows))));
            return events;
        }
        let text = self.decode(&data, piece.closed.is_some());
        let kind: fn(String) -> Kind = match piece.channel {
            Channel::Stdin => Kind::Input,
            Channel::Stdout => Kind::Output,
            Channel::Stderr => Kind::Error,
            _ => return events,
        };
        if !text.is_empty() {
            events.push(event(kind(text)));
        }
        events
    }

    fn decode(&mut self, data: &[u8], last: bool) -> String {
        let mut bytes = std::mem::take(&mut self.begun);
        bytes.extend_from_slice(data);
        let (mut text, mut read) = (String::with_capacity(bytes.len()), 0);
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            read += chunk.valid().len() + chunk.invalid().len();
            if chunk.invalid().is_empty() {
                continue;
            }
            let unfinished =
                std::str::from_utf8(chunk.invalid()).is_err_and(|error| error.error_len().is_none());
            if unfinished && read == bytes.len() && !last {
                self.begun = chunk.invalid().to_vec();
            } else {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        text
    }
}

fn bytes(piece: &Stream<Value>) -> Vec<u8> {
    let text = piece.data.as_str().unwrap_or_default();
    match piece.encoding.as_deref() {
        Some("base64") => STANDARD.decode(text).unwrap_or_default(),
        _ => text.as_bytes().to_vec(),
    }
}

/// `{"Width":80,"Height":24}`, one or several behind each other.
fn sizes(data: &[u8]) -> impl Iterator<Item = (u16, u16)> {
    let side = |size: &Value, name: &str| {
        let side = size.get(name)?.as_u64().filter(|side| *side > 0)?;
        Some(u16::try_from(side).unwrap_or(LARGEST).min(LARGEST))
    };
    serde_json::Deserializer::from_slice(data)
        .into_iter::<Value>()
        .map_while(Result::ok)
        .filter_map(move |size| Some((side(&size, "Width")?, side(&size, "Height")?)))
}

/// The exit code that a closing `metav1.Status` tells.
fn exit(piece: &Stream<Value>) -> Option<i32> {
    if piece.channel != Channel::Error {
        return None;
    }
    let status: Value = serde_json::from_slice(&bytes(piece)).ok()?;
    if status["status"] == "Success" {
        return Some(0);
    }
    let causes = status["details"]["causes"].as_array()?;
    causes.iter().find(|cause| cause["reason"] == "ExitCode")?["message"].as_str()?.parse().ok()
}

/// What a request's parameters ask for, where the record has no `streamOptions`.
fn asked(parameters: impl Iterator<Item = (String, String)>) -> StreamOptions {
    let mut options = StreamOptions::default();
    for (name, value) in parameters {
        match name.as_str() {
            "command" => options.command.push(value),
            "tty" => options.tty = matches!(value.as_str(), "true" | "1"),
            _ => {}
        }
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn piece(channel: &str, position: u64, data: &[u8], closed: bool) -> Stream<Value> {
        let closed = closed.then(|| json!({"sha256": "", "bytes": 0}));
        serde_json::from_value(json!({
            "exchange": "e", "channel": channel, "offset": position, "position": position,
            "data": STANDARD.encode(data), "encoding": "base64", "closed": closed,
        }))
        .unwrap()
    }

    fn told(text: &mut Text, piece: &Stream<Value>) -> Vec<Kind> {
        text.events(piece).into_iter().map(|event| event.kind).collect()
    }

    #[test]
    fn characters_that_are_split_become_whole_and_bytes_that_are_none_are_replaced() {
        let euro = "€".as_bytes();
        for at in 1..euro.len() {
            let (first, rest) = euro.split_at(at);
            let mut text = Text::default();
            assert_eq!(told(&mut text, &piece("stdout", 0, first, false)), []);
            let whole = [Kind::Output("€!".to_owned())];
            assert_eq!(told(&mut text, &piece("stdout", at as u64, &[rest, b"!"].concat(), false)), whole);
        }
        let mut text = Text::default();
        let kinds = told(&mut text, &piece("stderr", 0, b"a\xffb\xe2", false));
        assert_eq!(kinds, [Kind::Error("a\u{fffd}b".to_owned())]);
        assert_eq!(told(&mut text, &piece("stderr", 4, b"", true)), [Kind::Error("\u{fffd}".to_owned())]);
    }

    #[test]
    fn what_is_missing_is_told() {
        let mut text = Text::default();
        told(&mut text, &piece("stdin", 0, b"ls", false));
        let kinds = told(&mut text, &piece("stdin", 12, b"x", false));
        assert_eq!(kinds, [Kind::Missing(10), Kind::Input("x".to_owned())]);
    }

    #[test]
    fn sizes_are_read_and_bounded() {
        for (data, expected) in [
            (r#"{"Width":100,"Height":30}"#, vec![(100, 30)]),
            ("{\"Width\":1,\"Height\":2}\n{\"Width\":90000,\"Height\":3}", vec![(1, 2), (500, 3)]),
            (r#"{"Width":0,"Height":30}"#, vec![]),
            (r#"{"Width":"#, vec![]),
            ("", vec![]),
        ] {
            assert_eq!(sizes(data.as_bytes()).collect::<Vec<_>>(), expected, "{data}");
        }
    }

    #[test]
    fn the_exit_code_is_in_the_closing_status() {
        for (status, code) in [
            (json!({"status": "Success"}), Some(0)),
            (
                json!({"status": "Failure", "details": {"causes": [{"reason": "ExitCode", "message": "137"}]}}),
                Some(137),
            ),
            (json!({"status": "Failure"}), None),
        ] {
            assert_eq!(exit(&piece("error", 0, status.to_string().as_bytes(), false)), code);
        }
    }
}
