//! Tables and cards: the list of sessions, one exchange.

use super::body::bodies;
use super::sanitize::line;
use super::sentence::sentence;
use super::timeline::{attributed, duration, micros_between, second, user_text};
use super::{BOLD, RED, YELLOW, counted, styled};
use crate::store::access::{Access, RecorderPattern, TokenSummary};
use crate::store::model::{
    ExchangeDetail, ExchangeSummary, RecorderState, RecorderSummary, SessionSummary, SessionUser,
};
use chaperone_record::{Attributed, Timestamp};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// The list of sessions, in `kubectl`'s plain manner.
pub fn sessions(sessions: &[SessionSummary]) -> String {
    let mut table = plain(&[
        "SESSION",
        "STARTED",
        "DURATION",
        "USER",
        "AGENT",
        "MODEL",
        "PROMPTS",
        "REQUESTS",
        "WRITES",
        "REFUSED",
        "MASKED",
        "INCOMPLETE",
    ]);
    for session in sessions {
        let numbers = [session.requests, session.writes, session.refused, session.masked, session.incomplete];
        let texts = [
            line(&session.session).into_owned(),
            second(session.started),
            duration(micros_between(session.started, session.ended)),
            several(
                session.users.iter().map(|user| if user.username.is_empty() { "-" } else { &user.username }),
            ),
            values(&session.agents),
            values(&session.models),
            session.prompts.len().to_string(),
        ];
        table.add_row(texts.into_iter().chain(numbers.map(|number| number.to_string())));
    }
    printed(table, 6)
}

/// A list of exchanges.
pub fn exchanges(exchanges: &[ExchangeSummary]) -> String {
    let mut table = plain(&["TIME", "SESSION", "USER", "WHAT", "STATUS", "EXCHANGE"]);
    for exchange in exchanges {
        let user = exchange.requested.as_ref().and_then(|head| head.user.as_ref());
        let status = exchange.response_status.as_ref().map_or_else(|| "-".to_owned(), |s| s.code.to_string());
        table.add_row([
            moment(exchange.time),
            line(exchange.session.as_deref().unwrap_or("-")).into_owned(),
            line(user.map_or("-", |user| &user.username)).into_owned(),
            sentence(exchange),
            status,
            line(&exchange.exchange).into_owned(),
        ]);
    }
    printed(table, usize::MAX)
}

/// The list of tokens, as they stand at `now`.
pub fn tokens(tokens: &[TokenSummary], now: Timestamp) -> String {
    let mut table = plain(&["ID", "NAME", "ROLE", "RECORDER", "CREATED", "STATE"]);
    for token in tokens {
        let state = match (token.revoked, token.expires) {
            (Some(revoked), _) => format!("revoked {}", moment(revoked)),
            (None, Some(expires)) if expires <= now => format!("expired {}", moment(expires)),
            (None, Some(expires)) => format!("good until {}", moment(expires)),
            (None, None) => "good".to_owned(),
        };
        let name = line(&token.name).into_owned();
        let recorder = token.recorder.as_ref().map_or("-", RecorderPattern::as_str).to_owned();
        let role = token.role.as_str().to_owned();
        table.add_row([token.id.clone(), name, role, recorder, moment(token.created), state]);
    }
    printed(table, usize::MAX)
}

/// Who read what.
pub fn accesses(accesses: &[Access]) -> String {
    let mut table = plain(&["TIME", "NAME", "ROLE", "TOKEN", "REQUEST"]);
    for access in accesses {
        let name = line(&access.name).into_owned();
        let token = access.token.as_deref().unwrap_or("-").to_owned();
        let refused = if access.refused { "refused: " } else { "" };
        let request = format!("{refused}{}", line(&access.request));
        table.add_row([moment(access.time), name, access.role.as_str().to_owned(), token, request]);
    }
    printed(table, usize::MAX)
}

fn moment(time: Timestamp) -> String {
    second(i64::try_from(time.micros()).unwrap_or(i64::MAX))
}

/// The list of recorders.
pub fn recorders(recorders: &[RecorderSummary]) -> String {
    let mut table = plain(&[
        "RECORDER",
        "STATE",
        "NODE",
        "FILTER",
        "BATCHES",
        "ENTRIES",
        "MISSING",
        "GAPS",
        "FORKS",
        "INCOMPLETE",
    ]);
    for recorder in recorders {
        let state = match recorder.state {
            RecorderState::Open => "open".to_owned(),
            RecorderState::Silent => format!("silent since {}", second(recorder.last_received)),
        };
        let open = recorder.open.as_ref();
        let known = |text: &str| if text.is_empty() { "-".to_owned() } else { line(text).into_owned() };
        let texts = [
            line(&recorder.recorder).into_owned(),
            state,
            known(open.map_or("", |open| &open.node)),
            known(open.map_or("", |open| &open.filter.version)),
        ];
        let RecorderSummary { batches, entries, missing, gaps, forks, incomplete, .. } = recorder;
        let numbers = [batches, entries, missing, gaps, forks, incomplete];
        table.add_row(texts.into_iter().chain(numbers.map(|number| number.to_string())));
    }
    printed(table, 4)
}

fn plain(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header.iter().copied());
    table
}

/// The table's text, with the columns from `numbers` on set to the right.
fn printed(mut table: Table, numbers: usize) -> String {
    for column in table.column_iter_mut().skip(numbers) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>().join("\n")
}

fn values(values: &[Attributed]) -> String {
    if values.is_empty() { "-".into() } else { several(values.iter().map(|value| value.value.as_str())) }
}

/// The first, and how many more.
fn several<'a>(mut values: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = values.len().saturating_sub(1);
    let first = line(values.next().unwrap_or("-")).into_owned();
    if more == 0 { first } else { format!("{first} +{more}") }
}

/// One exchange in full.
pub fn exchange(detail: &ExchangeDetail) -> Vec<String> {
    let summary = &detail.summary;
    let text = sentence(summary);
    let mut out = vec![styled(if summary.is_refused() { RED } else { BOLD }, &text)];
    let mut field = |name: &str, value: String| out.push(format!("  {name:<11} {value}"));
    field("exchange", line(&summary.exchange).into_owned());
    field("session", line(summary.session.as_deref().unwrap_or("-")).into_owned());
    if let Some(head) = &summary.requested {
        let user = head.user.as_ref().map(|user| SessionUser {
            username: user.username.clone(),
            groups: user.groups.clone(),
            issuer: user.issuer.clone(),
        });
        field("user", user_text(&user.unwrap_or_default()));
        let attribution = &head.attribution;
        for (name, value) in
            [("agent", &attribution.agent), ("model", &attribution.model), ("prompt", &attribution.prompt)]
        {
            if let Some(value) = value {
                field(name, attributed(value));
            }
        }
        field("request", format!("{} {}", line(&head.method), line(&head.request_uri)));
        let from = head.source_ips.iter().map(|ip| line(ip).into_owned()).collect::<Vec<_>>().join(", ");
        field("from", format!("{from}  {}", line(&head.user_agent)).trim().to_owned());
        let decision = &head.decision;
        let word = if decision.allowed { "allowed" } else { "refused" };
        let message = line(&decision.message);
        field("decision", format!("{word} by {} {message}", line(&decision.rule)).trim_end().to_owned());
    }
    let status = summary.response_status.as_ref().map_or("-".to_owned(), |status| {
        format!("{} {} {}", status.code, line(&status.reason), line(&status.message)).trim_end().to_owned()
    });
    field("status", status);
    field("state", format!("{} {}", summary.state.as_str(), line(&summary.reason)).trim_end().to_owned());
    let timing = &summary.timing;
    let moments = [
        ("received", timing.received),
        ("forwarded", timing.forwarded),
        ("first byte", timing.first_byte),
        ("complete", timing.complete),
    ];
    for (name, moment) in moments {
        if let Some(moment) = moment {
            let after = moment.micros().saturating_sub(summary.time.micros());
            field(
                name,
                if after == 0 { moment.to_string() } else { format!("{moment}  +{}", duration(after)) },
            );
        }
    }
    for masked in &summary.masked {
        field(
            "masked",
            styled(YELLOW, &format!("{} ({})", line(&masked.path), counted(masked.count, "value"))),
        );
    }
    for entry in &detail.entries {
        let kind = entry.entry.get("type").and_then(|kind| kind.as_str()).unwrap_or("?");
        let signed = match &entry.kid {
            Some(kid) => format!("signature checked on arrival, key {}", line(kid)),
            None => styled(YELLOW, "signature not checked on arrival"),
        };
        let place =
            format!("recorder {}, batch {}, entry {}", line(&entry.recorder), entry.batch, entry.position);
        field("recorded", format!("{}: {place}; {signed}", line(kind)));
    }
    let bodies = bodies(detail);
    if !bodies.is_empty() {
        out.push(String::new());
        out.extend(bodies);
    }
    out
}
