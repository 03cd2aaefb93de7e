//! An exec or attach as lines to read and search, and as a terminal that plays.

use super::assets::{PLAY, player};
use super::layout::empty;
use super::link;
use super::words::{chip, number};
use crate::present::sanitize::{escape, line, lines};
use crate::present::terminal::{Kind, Recording};
use crate::present::timeline::duration;
use avt::Terminal;
use avt::observer::Transcript;
use maud::{Markup, html};

/// Most lines that are shown.
const LINES: usize = 5000;

/// Most bytes of terminal output that become lines.
const TEXT: usize = 4 << 20;

/// What following a resize takes, as if it were so many bytes: everything on the screen is laid out anew.
const RESIZE: usize = 16 << 10;

/// A line of what was typed or printed.
struct Line {
    at: Option<u64>,
    class: &'static str,
    label: &'static str,
    text: String,
}

/// The command, what was typed and printed, and how it ended.
pub(super) fn section(recording: &Recording, exchange: &str) -> Markup {
    let (lines, more) = match recording.tty {
        true => screen(recording),
        false => printed(recording),
    };
    let cast = link::to("/v1/export", &[("format", "asciicast"), ("exchange", exchange)]);
    html! {
        section.terminal id="terminal" {
            h2 { @if recording.tty { "Terminal" } @else { "What it printed" } " " (ended(recording)) }
            @if !recording.command.is_empty() {
                p.command-line { code { "$ " bdi { (line(&recording.command.join(" "))) } } }
            }
            @if recording.tty && player().is_some() { div.player data-player=(cast) {} }
            div {
                @if lines.is_empty() { (empty("Nothing was printed.", "What a full-screen program draws is not a line: play it, or take the recording.")) }
                @else {
                    div.find-lines data-lines hidden {
                        input type="search" placeholder="Search these lines" aria-label="Search these lines" autocomplete="off";
                        span.dim role="status" {}
                    }
                    div.transcript tabindex="0" role="region" aria-label="Transcript" {
                        @for line in &lines {
                            div.(line.class) {
                                @if let Some(at) = line.at { span.when { (duration(at)) } " " }
                                @if !line.label.is_empty() { span.label { (line.label) } " " }
                                bdi { (escape(&line.text)) }
                            }
                        }
                    }
                    @if more { p.dim { "It is longer than is shown here: the recording has all of it." } }
                }
            }
            @if recording.tty { (typed(recording)) }
            p.dim {
                a href=(cast) download { "Take the recording" } " (asciicast, for " code { "asciinema play" } ")"
                @if recording.tty && player().is_none() { ". This server was built without the player." }
            }
        }
    }
}

/// What plays the terminal; for the page of one exchange alone.
pub(super) fn scripts(recording: &Recording) -> Option<Markup> {
    let (script, style) = player().filter(|_| recording.tty)?;
    Some(html! {
        link rel="stylesheet" href=(style.url());
        script src=(script.url()) defer {}
        script type="module" src=(PLAY.url()) {}
    })
}

fn ended(recording: &Recording) -> Markup {
    match recording.exit_code {
        Some(0) => chip("good", "exit code 0", "The process said it went well."),
        Some(code) => chip("bad", &format!("exit code {code}"), "The process said it went wrong."),
        None => chip("warn", "no exit code", "How the process ended is not in the records."),
    }
}

/// Lines as they were typed and printed, each channel's by itself.
fn printed(recording: &Recording) -> (Vec<Line>, bool) {
    let mut told: Vec<Line> = Vec::new();
    // A line that goes on in the next piece of the same channel.
    let mut is_begun = false;
    for event in &recording.events {
        let (class, label, text) = match &event.kind {
            Kind::Input(text) => ("in", "stdin", text.clone()),
            Kind::Output(text) => ("out", "", text.clone()),
            Kind::Error(text) => ("err", "stderr", text.clone()),
            Kind::Missing(bytes) => (
                "gap",
                "",
                format!("{} bytes are not in the records", number(i64::try_from(*bytes).unwrap_or(i64::MAX))),
            ),
            Kind::Resize(..) => continue,
        };
        for text in text.split_inclusive('\n') {
            let (text, ends) = match text.strip_suffix('\n') {
                Some(text) => (text.strip_suffix('\r').unwrap_or(text), true),
                None => (text, false),
            };
            let is_full = told.len() == LINES;
            match told.last_mut().filter(|last| is_begun && last.class == class) {
                Some(last) => last.text.push_str(text),
                None if is_full => return (told, true),
                None => told.push(Line { at: Some(event.at), class, label, text: text.to_owned() }),
            }
            is_begun = !ends && class != "gap";
        }
    }
    (told, false)
}

/// What stood on the screen, line by line, as it went up and out of it.
fn screen(recording: &Recording) -> (Vec<Line>, bool) {
    let (columns, rows) = recording.size();
    let Ok(mut terminal) = Terminal::new(usize::from(columns), usize::from(rows)) else {
        return (Vec::new(), true);
    };
    let (mut transcript, mut texts, mut left) = (Transcript::new(), Vec::new(), TEXT);
    for event in &recording.events {
        match &event.kind {
            Kind::Output(text) | Kind::Error(text) => {
                left = left.saturating_sub(text.len());
                texts.extend(terminal.feed_with(text.as_str(), &mut transcript));
            }
            Kind::Resize(columns, rows) => {
                left = left.saturating_sub(RESIZE);
                texts.extend(terminal.resize_with(
                    usize::from(*columns),
                    usize::from(*rows),
                    &mut transcript,
                ));
            }
            Kind::Input(_) | Kind::Missing(_) => {}
        }
        if left == 0 || texts.len() > LINES {
            break;
        }
    }
    texts.extend(transcript.finish(&terminal));
    while texts.last().is_some_and(|text| text.trim().is_empty()) {
        texts.pop();
    }
    let more = left == 0 || texts.len() > LINES;
    texts.truncate(LINES);
    let told = texts.into_iter().map(|text| Line {
        at: None,
        class: "out",
        label: "",
        text: text.trim_end().to_owned(),
    });
    (told.collect(), more)
}

/// Keys as they were typed: what the terminal did not echo stands only here.
fn typed(recording: &Recording) -> Markup {
    let keys: String = recording
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            Kind::Input(text) => Some(text.replace('\r', "\r\n")),
            _ => None,
        })
        .collect();
    html! {
        @if !keys.is_empty() {
            details.place { summary { "Keys as they were typed" } pre.text { @for line in lines(keys.get(..64 << 10).unwrap_or(&keys)) { bdi { (line) } "\n" } } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::terminal::Event;
    use chaperone_record::Timestamp;

    fn recording(tty: bool, kinds: Vec<Kind>) -> Recording {
        let events = kinds.into_iter().zip(0..).map(|(kind, at)| Event { at, kind }).collect();
        let began = Timestamp::from_micros(0);
        Recording { command: Vec::new(), tty, began, took: None, events, exit_code: None }
    }

    fn told(lines: &[Line]) -> Vec<(&str, &str)> {
        lines.iter().map(|line| (line.class, line.text.as_str())).collect()
    }

    #[test]
    fn lines_are_whole_and_errors_apart() {
        let out = |text: &str| Kind::Output(text.to_owned());
        let kinds = vec![
            out("a"),
            out("b\nc"),
            Kind::Error("no\r\n".to_owned()),
            out("d"),
            Kind::Missing(3),
            out("e\n\nf"),
        ];
        let (lines, more) = printed(&recording(false, kinds));
        let expected = [
            ("out", "ab"),
            ("out", "c"),
            ("err", "no"),
            ("out", "d"),
            ("gap", "3 bytes are not in the records"),
            ("out", "e"),
            ("out", ""),
            ("out", "f"),
        ];
        assert_eq!((told(&lines).as_slice(), more), (expected.as_slice(), false));
        assert!(printed(&recording(false, vec![out(&"x\n".repeat(LINES + 1))])).1);
    }

    #[test]
    fn a_terminal_is_read_as_it_stood_and_what_is_hostile_ends() {
        let out = |text: &str| Kind::Output(text.to_owned());
        let kinds = vec![Kind::Resize(20, 2), out("$ lx\u{8}s\r\n\u{1b}[31mred\u{1b}[m\r\nthree\r\nfour")];
        let (lines, more) = screen(&recording(true, kinds));
        assert_eq!(told(&lines), [("out", "$ ls"), ("out", "red"), ("out", "three"), ("out", "four")]);
        assert!(!more);
        for hostile in
            ["\u{1b}[99999999999L\u{1b}[99999b\u{1b}[999;999Hx", "\u{1b}]0;", "\u{9b}?1049h\u{1b}c"]
        {
            let resizes = (1..1000).map(|n| Kind::Resize(1 + n % 500, 1 + n % 90));
            let kinds = [out(hostile)].into_iter().chain(resizes).collect();
            assert!(screen(&recording(true, kinds)).1, "{hostile:?}");
        }
    }
}
