//! An exec or attach as an asciicast v3 (<https://docs.asciinema.org/manual/asciicast/v3/>), for asciinema's player.

use crate::present::terminal::{Event, Kind, Recording};
use serde_json::{Value, json};
use std::io::{self, Write};

/// Writes the recording: a header, and an event a line.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write(recording: &Recording, mut out: impl Write) -> io::Result<()> {
    let (columns, rows) = recording.size();
    let mut header = json!({
        "version": 3,
        "term": {"cols": columns, "rows": rows},
        "timestamp": recording.began.micros() / 1_000_000,
    });
    if !recording.command.is_empty() {
        header["command"] = recording.command.join(" ").into();
    }
    line(&mut out, &header)?;
    let mut before = 0;
    for event in &recording.events {
        let (code, data) = told(event, recording.tty);
        line(&mut out, &json!([seconds(event.at.saturating_sub(before)), code, data]))?;
        before = before.max(event.at);
    }
    if let Some(code) = recording.exit_code {
        let rest = recording.took.unwrap_or(before).saturating_sub(before);
        line(&mut out, &json!([seconds(rest), "x", code.to_string()]))?;
    }
    out.flush()
}

fn line(out: &mut impl Write, value: &Value) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

/// Each event's time is since the one before.
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn told(event: &Event, tty: bool) -> (&'static str, String) {
    match &event.kind {
        Kind::Input(text) => ("i", text.clone()),
        Kind::Output(text) | Kind::Error(text) if tty => ("o", text.clone()),
        // What a terminal would have made of the lines.
        Kind::Output(text) | Kind::Error(text) => ("o", text.replace('\n', "\r\n")),
        Kind::Resize(columns, rows) => ("r", format!("{columns}x{rows}")),
        Kind::Missing(bytes) => ("m", format!("{bytes} bytes are missing")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaperone_record::Timestamp;

    #[test]
    fn a_recording_is_a_header_and_events() {
        let event = |at, kind| Event { at, kind };
        let recording = |tty, events| Recording {
            command: vec!["sh".to_owned(), "-i".to_owned()],
            tty,
            began: Timestamp::from_micros(1_700_000_000_500_000),
            took: Some(3_000_000),
            events,
            exit_code: Some(2),
        };
        let terminal = recording(
            true,
            vec![
                event(1_000, Kind::Resize(100, 30)),
                event(500_000, Kind::Output("$ ".to_owned())),
                event(1_500_000, Kind::Input("ls\r".to_owned())),
                event(1_500_250, Kind::Output("a\r\n\u{1b}[0m".to_owned())),
                event(2_000_000, Kind::Resize(80, 24)),
                event(2_000_000, Kind::Missing(7)),
            ],
        );
        let expected = concat!(
            "{\"command\":\"sh -i\",\"term\":{\"cols\":100,\"rows\":30},\"timestamp\":1700000000,\"version\":3}\n",
            "[0.001,\"r\",\"100x30\"]\n",
            "[0.499,\"o\",\"$ \"]\n",
            "[1.0,\"i\",\"ls\\r\"]\n",
            "[0.00025,\"o\",\"a\\r\\n\\u001b[0m\"]\n",
            "[0.49975,\"r\",\"80x24\"]\n",
            "[0.0,\"m\",\"7 bytes are missing\"]\n",
            "[1.0,\"x\",\"2\"]\n",
        );
        let mut out = Vec::new();
        write(&terminal, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), expected);

        let mut out = Vec::new();
        write(&recording(false, vec![event(0, Kind::Error("no\n".to_owned()))]), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.contains("\"cols\":80,\"rows\":24") && text.contains("[0.0,\"o\",\"no\\r\\n\"]\n"),
            "{text}"
        );
    }
}
