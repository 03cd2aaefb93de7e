//! A session as a timeline: a header, then a line for each step, grouped by prompt.

use super::body::bodies;
use super::sanitize::line;
use super::sentence::{is_discovery, sentence};
use super::{BOLD, DIM, GREEN, RED, YELLOW, counted, styled};
use crate::store::model::{
    Delivery, ExchangeDetail, ExchangeSummary, RecordedGap, SessionSummary, SessionUser, State,
};
use chaperone_record::{Attributed, Timestamp};

/// How wide a step's sentence is at least, so that what follows lines up.
const SENTENCE: usize = 48;

/// Most masked paths named in one line.
const PATHS: usize = 6;

/// Prints a session step by step.
pub struct Timeline {
    session: SessionSummary,
    gaps: std::iter::Peekable<std::vec::IntoIter<RecordedGap>>,
    all: bool,
    /// The prompt of the step before; none before the first.
    prompt: Option<Option<Attributed>>,
    /// Discovery requests not told yet: when the first was, and how many.
    discovery: Option<(Timestamp, u64)>,
}

impl Timeline {
    /// Begins a session. `all` tells each discovery request instead of their number.
    pub fn new(session: SessionSummary, gaps: Vec<RecordedGap>, all: bool) -> Self {
        Self { session, gaps: gaps.into_iter().peekable(), all, prompt: None, discovery: None }
    }

    /// Who, what with, when, and how much.
    pub fn header(&self) -> Vec<String> {
        let session = &self.session;
        let mut out = vec![styled(BOLD, &format!("Session {}", line(&session.session)))];
        let mut field = |name: &str, value: String| out.push(format!("  {name:<9} {value}"));
        for user in &session.users {
            field("user", user_text(user));
        }
        for (name, values) in [("agent", &session.agents), ("model", &session.models)] {
            for value in values {
                field(name, attributed(value));
            }
        }
        let took = duration(micros_between(session.started, session.ended));
        field("started", format!("{}, took {took}", second(session.started)));
        let mut counts = vec![counted(session.requests, "request"), counted(session.writes, "write")];
        let refused = format!("{} refused", session.refused);
        counts.push(if session.refused > 0 { styled(RED, &refused) } else { refused });
        let masked = format!("{} masked", counted(session.masked, "value"));
        counts.push(if session.masked > 0 { styled(YELLOW, &masked) } else { masked });
        for (count, word) in [(session.failed, "failed"), (session.incomplete, "incomplete")] {
            if count > 0 {
                counts.push(styled(YELLOW, &format!("{count} {word}")));
            }
        }
        field("counts", counts.join(", "));
        field(
            "evidence",
            match session.unverified {
                0 => styled(GREEN, "every signature was checked on arrival"),
                n if n == session.requests => styled(YELLOW, "no signature was checked on arrival"),
                n => styled(
                    YELLOW,
                    &format!(
                        "{n} of {} without a signature checked on arrival",
                        counted(session.requests, "request")
                    ),
                ),
            },
        );
        out
    }

    /// The lines for the next exchange, in order of time; `detail` where its bodies are to be shown.
    pub fn step(&mut self, exchange: &ExchangeSummary, detail: Option<&ExchangeDetail>) -> Vec<String> {
        let mut out = Vec::new();
        if !self.all && is_discovery(exchange) {
            let (_, count) = self.discovery.get_or_insert((exchange.time, 0));
            *count += 1;
            return out;
        }
        self.flush_discovery(&mut out);
        self.tell_gaps(Some(exchange.time), &mut out);
        self.tell_prompt(exchange, &mut out);
        out.push(self.line_of(exchange));
        if let Some(detail) = detail {
            out.extend(bodies(detail).into_iter().map(|text| format!("      {text}")));
        }
        out
    }

    /// What is left to tell after the last exchange.
    pub fn finish(mut self) -> Vec<String> {
        self.rest()
    }

    /// What is left to tell before exchanges that are still to come.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        let mut out = Vec::new();
        self.flush_discovery(&mut out);
        self.tell_gaps(None, &mut out);
        out
    }

    fn flush_discovery(&mut self, out: &mut Vec<String>) {
        if let Some((time, count)) = self.discovery.take() {
            let text = format!("  {}  {}", self.offset(time), counted(count, "discovery request"));
            out.push(styled(DIM, &text));
        }
    }

    fn tell_gaps(&mut self, until: Option<Timestamp>, out: &mut Vec<String>) {
        while let Some(gap) = self.gaps.next_if(|gap| until.is_none_or(|until| gap.gap.time <= until)) {
            let lost = counted(gap.gap.entries, "entry").replace("entrys", "entries");
            let text =
                format!("GAP {lost} lost by recorder {}: {}", line(&gap.recorder), line(&gap.gap.reason));
            out.push(format!("  {}  {}", self.offset(gap.gap.time), styled(RED, &text)));
        }
    }

    fn tell_prompt(&mut self, exchange: &ExchangeSummary, out: &mut Vec<String>) {
        let prompt = exchange.requested.as_ref().and_then(|head| head.attribution.prompt.clone());
        // An exchange whose head is missing stays with the prompt before it.
        if self.prompt.as_ref() == Some(&prompt) || (exchange.requested.is_none() && self.prompt.is_some()) {
            return;
        }
        out.push(String::new());
        out.push(match &prompt {
            Some(prompt) => format!("{} {}", styled(BOLD, "Prompt"), attributed(prompt)),
            None => styled(BOLD, "Without a prompt"),
        });
        self.prompt = Some(prompt);
    }

    /// The line of one exchange.
    pub(crate) fn line_of(&self, exchange: &ExchangeSummary) -> String {
        let text = sentence(exchange);
        let padding = " ".repeat(SENTENCE.saturating_sub(text.chars().count()));
        let text = if exchange.is_refused() { styled(RED, &text) } else { text };
        let code = exchange.response_status.as_ref().map_or(0, |status| status.code);
        let status = match code {
            0 => "  -".to_owned(),
            code if code >= 400 => styled(RED, &code.to_string()),
            code => code.to_string(),
        };
        let timing = &exchange.timing;
        let took = match (timing.received, timing.complete) {
            (Some(from), Some(to)) => duration(to.micros().saturating_sub(from.micros())),
            _ => "-".to_owned(),
        };
        let delivery = match exchange.delivery {
            Some(Delivery::Confirmed) => "confirmed",
            Some(Delivery::Buffered) => "buffered",
            None => "-",
        };
        let notes = self.notes(exchange).join("; ");
        let all = format!(
            "  {}  {text}{padding}  {status}  {took:>8}  {delivery:<9}  {notes}",
            self.offset(exchange.time)
        );
        all.trim_end().to_owned()
    }

    fn notes(&self, exchange: &ExchangeSummary) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(head) = exchange.requested.as_ref().filter(|_| exchange.is_refused()) {
            let rule = format!("({})", line(&head.decision.rule));
            let message = line(&head.decision.message);
            notes.push(if message.is_empty() { rule } else { format!("{message} {rule}") });
        }
        if !exchange.masked.is_empty() {
            notes.push(styled(YELLOW, &masked(exchange)));
        }
        let ended = match exchange.state {
            State::Complete | State::Refused => None,
            State::ProxyReply => Some("answered by the proxy"),
            State::Cut => Some("CUT by the filter"),
            State::Aborted => Some("ended early"),
            State::Incomplete if exchange.requested.is_none() => Some("its request is not in the records"),
            State::Incomplete => Some("INCOMPLETE: its end is not in the records"),
        };
        match (ended, line(&exchange.reason)) {
            (Some(ended), reason) if !reason.is_empty() => {
                notes.push(styled(YELLOW, &format!("{ended}: {reason}")))
            }
            (Some(ended), _) => notes.push(styled(YELLOW, ended)),
            (None, reason) if !reason.is_empty() && exchange.state == State::Complete => {
                notes.push(reason.into_owned())
            }
            (None, _) => {}
        }
        if exchange.stream_pieces > 0 {
            notes.push(format!("{} recorded", counted(exchange.stream_pieces, "piece")));
        }
        if self.session.users.len() > 1 {
            let user = exchange.requested.as_ref().and_then(|head| head.user.as_ref());
            notes.push(user.map_or("by nobody known".into(), |user| format!("by {}", line(&user.username))));
        }
        if !exchange.verified && self.session.unverified < self.session.requests {
            notes.push(styled(YELLOW, "signature not checked"));
        }
        notes
    }

    /// Time since the session began: `+00:01.250`.
    fn offset(&self, time: Timestamp) -> String {
        let started = u64::try_from(self.session.started).unwrap_or(0);
        let millis = time.micros().saturating_sub(started) / 1000;
        let (hours, minutes) = (millis / 3_600_000, millis / 60_000 % 60);
        let (seconds, millis) = (millis / 1000 % 60, millis % 1000);
        let hours = if hours > 0 { format!("{hours}:") } else { String::new() };
        format!("+{hours}{minutes:02}:{seconds:02}.{millis:03}")
    }
}

/// `2 values masked: $.data.password, $.data.user`
fn masked(exchange: &ExchangeSummary) -> String {
    let mut paths: Vec<_> = exchange.masked.iter().take(PATHS).map(|m| line(&m.path).into_owned()).collect();
    if exchange.masked.len() > PATHS {
        paths.push("…".into());
    }
    format!("{} masked: {}", counted(exchange.masked_values(), "value"), paths.join(", "))
}

/// `alice (groups agents, devs) at https://idp.example.com`
pub(super) fn user_text(user: &SessionUser) -> String {
    if user.username.is_empty() {
        return "nobody known: no valid token".into();
    }
    let groups = user.groups.iter().map(|group| line(group).into_owned()).collect::<Vec<_>>().join(", ");
    let groups = if groups.is_empty() { String::new() } else { format!(" (groups {groups})") };
    format!("{}{groups} at {}", line(&user.username), line(&user.issuer))
}

/// A value and how far it can be believed: verified by the token's signature, or asserted by the client.
pub(crate) fn attributed(value: &Attributed) -> String {
    let (word, style) = if value.verified { ("verified", GREEN) } else { ("asserted", YELLOW) };
    format!("{} ({}, {})", line(&value.value), styled(style, word), line(&value.source))
}

/// `2026-11-23 08:27:21 UTC`
pub(super) fn second(micros: i64) -> String {
    let text = Timestamp::from_micros(u64::try_from(micros).unwrap_or(0)).to_string();
    let (date, time) = text.split_once('T').unwrap_or((&text, ""));
    format!("{date} {} UTC", time.get(..8).unwrap_or(time))
}

pub(super) fn micros_between(from: i64, to: i64) -> u64 {
    u64::try_from(to.saturating_sub(from)).unwrap_or(0)
}

/// A length of time as short as it can be read: `640 µs`, `12 ms`, `1.2 s`, `3 min 4 s`, `2 h 5 min`.
pub(crate) fn duration(micros: u64) -> String {
    let seconds = micros / 1_000_000;
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{} ms", micros / 1000),
        1_000_000..60_000_000 => format!("{seconds}.{} s", micros / 100_000 % 10),
        60_000_000..3_600_000_000 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_short() {
        for (micros, text) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (12_345, "12 ms"),
            (1_250_000, "1.2 s"),
            (184_000_000, "3 min 4 s"),
            (7_500_000_000, "2 h 5 min"),
        ] {
            assert_eq!(duration(micros), text);
        }
        assert_eq!(second(1_795_422_441_123_456), "2026-11-23 08:27:21 UTC");
    }
}
