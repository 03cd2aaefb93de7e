//! How far a new run follows a recorded one.

use super::asked::{Content, Target};
use serde::Serialize;
use std::collections::HashMap;

/// Most requests listed that were not in the record: a client may go on asking.
const LISTED: usize = 1000;

/// A recorded request.
#[derive(Clone, Debug)]
pub(super) struct Recorded {
    /// The exchange's id.
    pub(super) exchange: String,
    pub(super) target: Target,
    pub(super) content: Content,
    /// When it began and ended, microseconds; without an end it ran on.
    pub(super) began: u64,
    pub(super) ended: Option<u64>,
    /// The request, as people read it.
    pub(super) told: String,
    /// True where it opened a stream: exec, attach, port-forward.
    pub(super) stream: bool,
}

/// A request of the new run.
pub(super) struct Asked<'a> {
    pub(super) target: Target,
    pub(super) content: Content,
    /// Safe to print, as the method is.
    pub(super) uri: &'a str,
    pub(super) method: &'a str,
}

/// What the record has for a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The exchange of this number answers it.
    Recorded(usize),
    /// It has nothing, and why.
    Nothing(String),
}

/// Where the new run left the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Departure {
    /// What the record has next; none where it is over.
    expected: Option<String>,
    /// What came; none where the new run ended.
    got: Option<String>,
}

/// How a new run followed a recorded one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// How many requests were recorded, discovery aside.
    pub(super) recorded: usize,
    /// How many of them the new run made before it departed.
    pub(super) followed: usize,
    /// How many of them it made at all.
    pub(super) made: usize,
    /// The first departure.
    pub(super) departure: Option<Departure>,
    /// Requests that were not in the record.
    pub(super) not_in_record: Vec<String>,
    /// How many those were: more than are listed where there were very many.
    pub(super) not_in_record_count: usize,
    /// Requests of the record that were never made.
    pub(super) not_made: Vec<String>,
    /// Discovery requests, which depend on the client's caches and count for nothing.
    pub(super) discovery: usize,
}

impl Report {
    /// True where the new run made every recorded request, in order, and no other.
    pub(super) fn is_followed(&self) -> bool {
        self.departure.is_none() && self.not_in_record_count == 0 && self.not_made.is_empty()
    }

    /// For people; each line is safe to print.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut out =
            vec![format!("Followed the record for {} of {} requests.", self.followed, self.recorded)];
        if let Some(departure) = &self.departure {
            out.push("First departure:".to_owned());
            for (word, request, none) in [
                ("expected", &departure.expected, "nothing: the record was over"),
                ("got", &departure.got, "nothing: the run ended"),
            ] {
                out.push(format!("  {word:<8} {}", request.as_deref().unwrap_or(none)));
            }
        }
        if self.made > self.followed {
            out.push(format!("Requests of the record made after that: {}.", self.made - self.followed));
        }
        for (heading, count, requests) in [
            ("Not in the record", self.not_in_record_count, &self.not_in_record),
            ("In the record, but never made", self.not_made.len(), &self.not_made),
        ] {
            if count > 0 {
                out.push(format!("{heading}: {count}"));
                out.extend(requests.iter().map(|request| format!("  {request}")));
            }
        }
        if self.is_followed() {
            out.push("The run was the same.".to_owned());
        }
        out
    }
}

/// Finds the recorded exchange for each request of a new run, and remembers how the two differ.
pub(super) struct Following {
    record: Vec<Recorded>,
    made: Vec<bool>,
    by_target: HashMap<Target, Vec<usize>>,
    /// The first that was not made yet, discovery aside.
    next: usize,
    followed: usize,
    departure: Option<Departure>,
    strangers: (Vec<String>, usize),
    discovery: usize,
}

impl Following {
    /// Of exchanges in order of time.
    pub(super) fn new(record: Vec<Recorded>) -> Self {
        let mut by_target = HashMap::<_, Vec<usize>>::new();
        for (index, recorded) in record.iter().enumerate() {
            by_target.entry(recorded.target.clone()).or_default().push(index);
        }
        let made = record.iter().map(|recorded| recorded.target.is_discovery()).collect();
        let mut following = Self {
            record,
            made,
            by_target,
            next: 0,
            followed: 0,
            departure: None,
            strangers: (Vec::new(), 0),
            discovery: 0,
        };
        following.advance();
        following
    }

    pub(super) fn recorded(&self, index: usize) -> &Recorded {
        &self.record[index]
    }

    /// True once every recorded request was made.
    pub(super) fn is_over(&self) -> bool {
        self.next == self.record.len()
    }

    /// The exchange that answers a request: of those recorded with the same method, path, query and body the first
    /// that did not answer yet. Discovery and streams may be asked again; then the last answers.
    pub(super) fn ask(&mut self, asked: &Asked<'_>) -> Found {
        let discovery = asked.target.is_discovery();
        self.discovery += usize::from(discovery);
        let told = format!("{} {}", asked.method, asked.uri);
        let same: Vec<usize> = self.by_target.get(&asked.target).cloned().unwrap_or_default();
        let alike: Vec<usize> =
            same.iter().copied().filter(|i| self.record[*i].content.is_same(&asked.content)).collect();
        let nothing = match (same.as_slice(), alike.as_slice()) {
            ([], _) => told.clone(),
            (_, []) => format!("{told} with this body"),
            (_, alike) => format!("{told} a {} time", ordinal(alike.len() + 1)),
        };
        if discovery {
            return match self.repeated(&alike) {
                Some(index) => Found::Recorded(index),
                None => Found::Nothing(nothing),
            };
        }
        if let Some(index) = alike.iter().copied().find(|index| !self.made[*index]) {
            self.make(index, &told);
            return Found::Recorded(index);
        }
        if let Some(last) = alike.last().copied().filter(|last| self.record[*last].stream) {
            return Found::Recorded(last);
        }
        let expected = self.record.get(self.next).map(|recorded| recorded.told.clone());
        self.departure.get_or_insert_with(|| Departure { expected, got: Some(nothing.clone()) });
        let (listed, count) = &mut self.strangers;
        *count += 1;
        if listed.len() < LISTED {
            listed.push(nothing.clone());
        }
        Found::Nothing(nothing)
    }

    /// Of the same discovery requests the first that did not answer yet, else the last.
    fn repeated(&mut self, alike: &[usize]) -> Option<usize> {
        let (first, rest) = alike.split_first()?;
        if let (Some(queue), false) = (self.by_target.get_mut(&self.record[*first].target), rest.is_empty()) {
            queue.retain(|index| index != first);
        }
        Some(*first)
    }

    fn make(&mut self, index: usize, told: &str) {
        // What ran at the same time has no order.
        let began = self.record[index].began;
        let skipped = (self.next..index)
            .find(|i| !self.made[*i] && self.record[*i].ended.is_some_and(|ended| ended <= began));
        if let Some(skipped) = skipped {
            let expected = Some(self.record[skipped].told.clone());
            self.departure.get_or_insert_with(|| Departure { expected, got: Some(told.to_owned()) });
        }
        self.followed += usize::from(self.departure.is_none());
        self.made[index] = true;
        self.advance();
    }

    fn advance(&mut self) {
        while self.made.get(self.next).is_some_and(|made| *made) {
            self.next += 1;
        }
    }

    /// How it went, once the new run is over.
    pub(super) fn report(&self) -> Report {
        let ours = || self.record.iter().zip(&self.made).filter(|(one, _)| !one.target.is_discovery());
        let not_made: Vec<String> =
            ours().filter(|(_, made)| !**made).map(|(recorded, _)| recorded.told.clone()).collect();
        let ended = not_made.first().cloned().map(|first| Departure { expected: Some(first), got: None });
        let recorded = ours().count();
        Report {
            recorded,
            followed: self.followed,
            made: recorded - not_made.len(),
            departure: self.departure.clone().or(ended),
            not_in_record: self.strangers.0.clone(),
            not_in_record_count: self.strangers.1,
            not_made,
            discovery: self.discovery,
        }
    }
}

fn ordinal(n: usize) -> String {
    let suffix = match (n % 10, n % 100) {
        (1, rest) if rest != 11 => "st",
        (2, rest) if rest != 12 => "nd",
        (3, rest) if rest != 13 => "rd",
        _ => "th",
    };
    format!("{n}{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `GET /a` from 0 to 1, `GET /a` from 2 to 3, …; `+` before a request: it ran at the same time as the one before.
    fn record(requests: &[&str]) -> Following {
        let mut time = 0;
        let recorded = requests.iter().enumerate().map(|(index, request)| {
            let together = request.starts_with('+');
            let request = request.trim_start_matches('+');
            time += if together { 0 } else { 10 };
            let (method, uri, body) = parts(request);
            Recorded {
                exchange: index.to_string(),
                target: Target::new(method, uri),
                content: Content::of(body.as_bytes()),
                began: time,
                ended: Some(time + 5),
                told: request.to_owned(),
                stream: false,
            }
        });
        Following::new(recorded.collect())
    }

    fn parts(request: &str) -> (&str, &str, &str) {
        let mut parts = request.splitn(3, ' ');
        (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap_or(""))
    }

    /// The number of the exchange that answers each request, -1 for none, and the report.
    fn run(record: &mut Following, requests: &[&str]) -> (Vec<i64>, Report) {
        let answers = requests.iter().map(|request| {
            let (method, uri, body) = parts(request);
            let target = Target::new(method, uri);
            let asked = Asked { target, content: Content::of(body.as_bytes()), method, uri };
            match record.ask(&asked) {
                Found::Recorded(index) => i64::try_from(index).unwrap(),
                Found::Nothing(_) => -1,
            }
        });
        let answers = answers.collect();
        (answers, record.report())
    }

    #[test]
    fn a_run_is_answered_from_the_record_and_its_departures_are_told() {
        let all = ["GET /api", "GET /a", "POST /b {\"x\": 1}", "GET /a"];
        let departure = |expected: &str, got: &str| {
            let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            Some(Departure { expected: some(expected), got: some(got) })
        };
        for (name, recorded, asked, answers, followed, first) in [
            ("the same", &all[..], &all[..], &[0, 1, 2, 3][..], 3, None),
            ("without discovery", &all, &all[1..], &[1, 2, 3], 3, None),
            (
                "discovery twice",
                &all,
                &["GET /api", "GET /api", "GET /a"],
                &[0, 0, 1],
                1,
                departure("POST /b {\"x\": 1}", ""),
            ),
            ("the same JSON", &all, &["GET /a", "POST /b {\"x\":1}", "GET /a"], &[1, 2, 3], 3, None),
            (
                "another body",
                &all,
                &["GET /a", "POST /b {\"x\":2}", "GET /a"],
                &[1, -1, 3],
                1,
                departure("POST /b {\"x\": 1}", "POST /b with this body"),
            ),
            (
                "something else",
                &all,
                &["GET /a", "GET /c"],
                &[1, -1],
                1,
                departure("POST /b {\"x\": 1}", "GET /c"),
            ),
            (
                "once more",
                &all,
                &["GET /a", "POST /b {\"x\":1}", "GET /a", "GET /a"],
                &[1, 2, 3, -1],
                3,
                departure("", "GET /a a 3rd time"),
            ),
            ("one left out", &["GET /a", "GET /b"], &["GET /b"], &[1], 0, departure("GET /a", "GET /b")),
            ("together, in another order", &["GET /a", "+GET /b"], &["GET /b", "GET /a"], &[1, 0], 2, None),
            ("nothing", &["GET /a"], &[], &[], 0, departure("GET /a", "")),
        ] {
            let (answered, report) = run(&mut record(recorded), asked);
            assert_eq!(answered, answers, "{name}");
            assert_eq!(report.followed, followed, "{name}");
            assert_eq!(report.departure, first, "{name}");
            assert_eq!(report.is_followed(), first.is_none(), "{name}");
        }
    }

    #[test]
    fn discovery_is_answered_in_order_and_then_by_the_last() {
        let mut record = record(&["GET /apis", "GET /apis", "GET /a"]);
        let (answers, report) = run(&mut record, &["GET /apis", "GET /apis", "GET /apis", "GET /a"]);
        assert_eq!((answers, report.is_followed()), (vec![0, 1, 1, 2], true));
        assert!(record.is_over());
    }
}
