//! Which exchanges of a chain are whole.

use super::report::{Code, Finding};
use super::scope::Scope;
use chaperone_record::{Entry, Timestamp};
use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

/// How far each exchange of one chain got. Of whole ones only a hash is kept: there are many, and an `end` may still
/// follow a `response`.
#[derive(Default)]
pub(super) struct Tally {
    hasher: RandomState,
    exchanges: HashMap<u64, Option<Box<Unfinished>>>,
    whole: u64,
}

/// An exchange of which not everything has been seen.
#[derive(Default)]
struct Unfinished {
    exchange: String,
    batch: i64,
    received: Option<Timestamp>,
    asked: bool,
    ended: bool,
}

impl Tally {
    /// Takes up an entry of a batch.
    pub(super) fn add(&mut self, scope: &Scope, batch: i64, entry: &Entry) {
        let Some(exchange) = entry.exchange() else { return };
        let (asked, ended, received) = match entry {
            Entry::Request(request) => (request.requested.is_some(), false, request.timing.received),
            Entry::Exchange(exchange) => (true, true, exchange.timing.received),
            Entry::Response(response) => (false, true, response.timing.received),
            Entry::End(end) => (false, true, end.timing.received),
            Entry::Stream(_) | Entry::Open(_) | Entry::Gap(_) => (false, false, None),
        };
        let new = || {
            let exchange = exchange.to_owned();
            Some(Box::new(Unfinished { exchange, batch, ..Unfinished::default() }))
        };
        let known = self.exchanges.entry(self.hasher.hash_one(exchange)).or_insert_with(new);
        let Some(unfinished) = known else { return };
        unfinished.asked |= asked;
        unfinished.ended |= ended;
        unfinished.received = unfinished.received.or(received);
        if unfinished.asked && unfinished.ended {
            self.whole += u64::from(scope.takes(&unfinished.exchange, unfinished.received));
            *known = None;
        }
    }

    /// How many exchanges of the scope there are, and those of them that are not whole, in order of their ids.
    pub(super) fn finish(self, recorder: &str, scope: &Scope) -> (u64, Vec<Finding>) {
        let mut unfinished: Vec<_> = self.exchanges.into_values().flatten().collect();
        unfinished.retain(|one| scope.takes(&one.exchange, one.received));
        unfinished.sort_by(|a, b| a.exchange.cmp(&b.exchange));
        let finding = |one: Box<Unfinished>| {
            let what = match (one.asked, one.ended) {
                (true, _) => "its end is not in the records",
                (false, true) => "its request is not in the records",
                (false, false) => "neither its request nor its end is in the records",
            };
            let message = format!("exchange {}: {what}", one.exchange);
            Finding::new((Some(recorder), Some(one.batch)), Code::Incomplete, message)
        };
        (self.whole + unfinished.len() as u64, unfinished.into_iter().map(finding).collect())
    }
}
