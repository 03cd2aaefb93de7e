//! How the entries of one exchange become one row, in whichever order they arrive.
//!
//! Every rule is symmetric: the first or last moment, the most final closing entry, `and`, `or`, a sum. So the row
//! is the same for every order of arrival of the same entries.

use super::batch::{Located, key};
use super::model::{Closing, Delivery, ExchangeSummary, SessionSummary, SessionUser, State};
use chaperone_record::{Attributed, Entry, Responded, Timestamp, Timing};

/// Verbs that change something in the cluster.
const WRITE_VERBS: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];

/// API groups whose `create` only asks a question.
const REVIEW_GROUPS: [&str; 2] = ["authorization.k8s.io", "authentication.k8s.io"];

impl ExchangeSummary {
    /// An exchange of which nothing is known but that an entry of `recorder` names it.
    pub fn new(exchange: &str, recorder: &str, received: Timestamp) -> Self {
        Self {
            exchange: exchange.to_owned(),
            session: None,
            recorder: recorder.to_owned(),
            time: received,
            state: State::Incomplete,
            requested: None,
            object_name: None,
            request_digest: None,
            response_status: None,
            response_digest: None,
            masked: Vec::new(),
            sealed: false,
            outcome: None,
            reason: String::new(),
            timing: Timing::default(),
            delivery: None,
            stream_pieces: 0,
            verified: true,
            closed_by: None,
        }
    }

    /// Adds what one more entry tells, whose batch was received then.
    pub fn merge(&mut self, located: &Located, verified: bool, received: Timestamp) {
        self.verified &= verified;
        if moments(&self.timing).next().is_none() {
            self.time = self.time.min(received);
        }
        // What was asked for goes before what came back, in whatever order they arrive.
        let asked = !matches!(located.entry, Entry::Response(_));
        if located.object_name.is_some() && (asked || self.object_name.is_none()) {
            self.object_name.clone_from(&located.object_name);
        }
        match &located.entry {
            Entry::Request(entry) => {
                self.keep_session(&entry.session);
                self.requested = self.requested.take().or_else(|| entry.requested.clone());
                self.request_digest = self.request_digest.take().or_else(|| entry.request_digest.clone());
                self.delivery = self.delivery.max(Some(Delivery::Confirmed));
                self.keep_timing(&entry.timing);
            }
            Entry::Response(entry) => {
                self.keep_session(&entry.session);
                self.keep_response(&entry.responded, Closing::Response);
                self.keep_timing(&entry.timing);
            }
            Entry::Exchange(entry) => {
                self.keep_session(&entry.session);
                self.requested = self.requested.take().or_else(|| Some(entry.requested.clone()));
                self.request_digest = self.request_digest.take().or_else(|| entry.request_digest.clone());
                self.delivery = self.delivery.max(Some(Delivery::Buffered));
                self.keep_response(&entry.responded, Closing::Exchange);
                self.keep_timing(&entry.timing);
            }
            Entry::Stream(entry) => {
                self.keep_session(&entry.session);
                self.stream_pieces += 1;
            }
            Entry::End(entry) => {
                self.keep_session(&entry.session);
                self.keep_response(&entry.responded, Closing::End);
                self.keep_timing(&entry.timing);
            }
            Entry::Open(_) | Entry::Gap(_) => {}
        }
        self.state = match self.outcome {
            Some(outcome) if self.requested.is_some() => outcome.into(),
            _ => State::Incomplete,
        };
    }

    fn keep_session(&mut self, session: &str) {
        if self.session.is_none() && !session.is_empty() {
            self.session = Some(session.to_owned());
        }
    }

    fn keep_response(&mut self, responded: &Responded, closing: Closing) {
        if self.closed_by >= Some(closing) {
            self.response_digest = self.response_digest.take().or_else(|| responded.response_digest.clone());
            return;
        }
        self.closed_by = Some(closing);
        self.response_status = Some(responded.response_status.clone());
        self.response_digest = responded.response_digest.clone().or(self.response_digest.take());
        self.masked.clone_from(&responded.masked);
        self.sealed |= responded.sealed.is_some();
        self.outcome = Some(responded.outcome);
        self.reason.clone_from(&responded.reason);
    }

    fn keep_timing(&mut self, timing: &Timing) {
        let known = &mut self.timing;
        known.received = earlier(known.received, timing.received);
        known.forwarded = earlier(known.forwarded, timing.forwarded);
        known.first_byte = earlier(known.first_byte, timing.first_byte);
        known.complete = known.complete.max(timing.complete);
        if let Some(earliest) = moments(known).min() {
            self.time = earliest;
        }
    }

    /// True once it can be told when it was, or who asked what: before that it counts in no session, because the
    /// moment its batch arrived would stretch the session for good.
    pub fn is_placed(&self) -> bool {
        self.requested.is_some() || moments(&self.timing).next().is_some()
    }

    /// The last moment known of it.
    pub fn last_moment(&self) -> Timestamp {
        moments(&self.timing).max().unwrap_or(self.time)
    }

    /// How many values were masked in it.
    pub fn masked_values(&self) -> u64 {
        self.masked.iter().fold(0, |sum, masked| sum.saturating_add(masked.count))
    }

    /// True for an allowed request that changes something in the cluster.
    pub fn is_write(&self) -> bool {
        self.requested.as_ref().is_some_and(|head| {
            let review =
                head.object_ref.as_ref().is_some_and(|o| REVIEW_GROUPS.contains(&o.api_group.as_str()));
            head.decision.allowed && !review && WRITE_VERBS.contains(&head.verb.as_str())
        })
    }

    /// True where the filter refused it. Where the API server had answered by then it was carried out, and its answer
    /// withheld.
    pub fn is_refused(&self) -> bool {
        let denied = self.requested.as_ref().is_some_and(|head| !head.decision.allowed);
        denied || self.state == State::Refused && self.timing.first_byte.is_none()
    }

    /// True where it went upstream and came to nothing: a status of 400 or above, or no whole answer.
    pub fn is_failed(&self) -> bool {
        let code = self.response_status.as_ref().map_or(0, |status| status.code);
        match self.state {
            State::Complete => code >= 400,
            State::ProxyReply | State::Cut | State::Refused => !self.is_refused(),
            State::Aborted | State::Incomplete => false,
        }
    }

    /// The user, agents, models and prompts it names, each as its kind in the index, its name, and its value as JSON.
    pub fn session_values(&self) -> Vec<(&'static str, &str, String)> {
        let Some(head) = &self.requested else { return Vec::new() };
        let user = head.user.as_ref().map(|user| SessionUser {
            username: user.username.clone(),
            groups: user.groups.clone(),
            issuer: user.issuer.clone(),
        });
        let username = head.user.as_ref().map_or("", |user| user.username.as_str());
        let attributed =
            |value: &Option<Attributed>| value.as_ref().and_then(|v| serde_json::to_string(v).ok());
        fn name(value: &Option<Attributed>) -> &str {
            value.as_ref().map_or("", |value| &value.value)
        }
        let attribution = &head.attribution;
        [
            ("user", username, serde_json::to_string(&user.unwrap_or_default()).ok()),
            ("agent", name(&attribution.agent), attributed(&attribution.agent)),
            ("model", name(&attribution.model), attributed(&attribution.model)),
            ("prompt", name(&attribution.prompt), attributed(&attribution.prompt)),
        ]
        .into_iter()
        .filter_map(|(kind, name, value)| Some((kind, name, value?)))
        .collect()
    }

    /// Whose session it is where the filter named none: the user, or the address of who had no valid token.
    pub fn derived_owner(&self) -> Option<String> {
        let head = self.requested.as_ref()?;
        Some(match &head.user {
            Some(user) => key(&format!("{}\n{}", user.issuer, user.username)).into_owned(),
            None => key(&format!("\n{}", head.source_ips.first().map_or("", String::as_str))).into_owned(),
        })
    }

    /// What it adds to its session's numbers.
    pub fn totals(&self) -> Totals {
        let count = i64::from;
        Totals {
            requests: 1,
            writes: count(self.is_write()),
            refused: count(self.is_refused()),
            failed: count(self.is_failed()),
            incomplete: count(self.state == State::Incomplete),
            unverified: count(!self.verified),
            masked: i64::try_from(self.masked_values()).unwrap_or(i64::MAX),
        }
    }
}

impl SessionSummary {
    /// Its numbers.
    pub fn totals(&self) -> Totals {
        let Self { requests, writes, refused, failed, incomplete, unverified, masked, .. } = *self;
        Totals { requests, writes, refused, failed, incomplete, unverified, masked }
    }
}

/// The moments that are known.
fn moments(timing: &Timing) -> impl Iterator<Item = Timestamp> {
    [timing.received, timing.forwarded, timing.first_byte, timing.complete].into_iter().flatten()
}

fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// The numbers of a session, or a change of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// See [`super::model::SessionSummary`], as for all of these.
    pub requests: i64,
    /// Allowed requests that change something.
    pub writes: i64,
    /// Refusals.
    pub refused: i64,
    /// Requests that came to nothing.
    pub failed: i64,
    /// Exchanges without end or beginning.
    pub incomplete: i64,
    /// Exchanges with an unchecked signature.
    pub unverified: i64,
    /// Masked values.
    pub masked: i64,
}

impl Totals {
    /// Each number combined with its counterpart.
    fn combine(self, other: Self, with: fn(i64, i64) -> i64) -> Self {
        Self {
            requests: with(self.requests, other.requests),
            writes: with(self.writes, other.writes),
            refused: with(self.refused, other.refused),
            failed: with(self.failed, other.failed),
            incomplete: with(self.incomplete, other.incomplete),
            unverified: with(self.unverified, other.unverified),
            masked: with(self.masked, other.masked),
        }
    }

    /// The sum.
    pub fn plus(self, other: Self) -> Self {
        self.combine(other, i64::saturating_add)
    }

    /// The difference.
    pub fn minus(self, other: Self) -> Self {
        self.combine(other, i64::saturating_sub)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn located(entry: serde_json::Value) -> Located {
        Located { entry: serde_json::from_value(entry).unwrap(), object_name: None, start: 0, length: 0 }
    }

    fn merged(entries: &[&Located]) -> ExchangeSummary {
        let mut row = ExchangeSummary::new("e", "r", Timestamp::from_micros(9));
        entries.iter().for_each(|entry| row.merge(entry, true, Timestamp::from_micros(9)));
        row
    }

    #[test]
    fn every_order_of_arrival_gives_the_same_row() {
        let request = located(
            json!({"type": "request", "exchange": "e", "session": "s", "attribution": {}, "method": "POST",
            "requestURI": "/api/v1/namespaces/a/pods/p/exec", "verb": "create", "decision": {"allowed": true, "rule": "x"},
            "timing": {"received": "2026-11-23T08:27:21.000001Z"}}),
        );
        let body = located(json!({"type": "request", "exchange": "e", "session": "s",
            "requestDigest": {"sha256": "00", "bytes": 17}, "timing": {"forwarded": "2026-11-23T08:27:21.000002Z"}}));
        let response = located(
            json!({"type": "response", "exchange": "e", "session": "s", "responseStatus": {"code": 101},
            "outcome": "complete", "timing": {"firstByte": "2026-11-23T08:27:21.000003Z"}}),
        );
        let stream = located(
            json!({"type": "stream", "exchange": "e", "channel": "stdout", "offset": 1, "position": 0, "data": ""}),
        );
        let end = located(
            json!({"type": "end", "exchange": "e", "session": "s", "responseStatus": {"code": 101},
            "masked": [{"path": "$", "count": 2}], "outcome": "aborted", "timing": {"complete": "2026-11-23T08:27:22Z"}}),
        );
        let all = [&request, &body, &response, &stream, &end];
        let expected = merged(&all);
        assert_eq!(
            (expected.state, expected.masked_values(), expected.stream_pieces),
            (State::Aborted, 2, 1)
        );
        assert_eq!(expected.delivery, Some(Delivery::Confirmed));
        let mut orders = vec![vec![]];
        for entry in all {
            orders = orders
                .iter()
                .flat_map(|order: &Vec<&Located>| {
                    (0..=order.len()).map(move |at| {
                        let mut longer = order.clone();
                        longer.insert(at, entry);
                        longer
                    })
                })
                .collect();
        }
        assert_eq!(orders.len(), 120);
        for order in orders {
            assert_eq!(merged(&order), expected);
        }
    }

    #[test]
    fn what_is_not_whole_is_incomplete() {
        let request =
            located(json!({"type": "request", "exchange": "e", "attribution": {}, "method": "DELETE",
            "requestURI": "/x", "verb": "delete", "decision": {"allowed": true, "rule": "x"}, "timing": {}}));
        let response = located(json!({"type": "response", "exchange": "e", "responseStatus": {"code": 200},
            "outcome": "complete", "timing": {}}));
        assert_eq!(merged(&[&request]).state, State::Incomplete);
        assert_eq!(merged(&[&response]).state, State::Incomplete);
        assert_eq!(merged(&[&response, &request]).state, State::Complete);
        assert!(merged(&[&request]).is_write());
    }
}
