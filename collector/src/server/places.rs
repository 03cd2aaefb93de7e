//! How many at a time: so many in all, and so many of one caller, so that nobody takes the places of all others.

use super::auth::Caller;
use super::problem::Problem;
use axum::http::StatusCode;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many of one caller's places have their turn at a time: fewer than there are connections to the database.
const TURNS: usize = 3;

/// Places of one kind.
pub(super) struct Places {
    /// What they are for, in the plural.
    what: &'static str,
    all: usize,
    each: usize,
    /// In seconds: when to try again.
    retry_after: u32,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    callers: HashMap<String, Own>,
}

/// What one caller has.
struct Own {
    places: usize,
    turns: Arc<Semaphore>,
}

/// One of them, until it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    caller: String,
    turns: Arc<Semaphore>,
    turn: Option<OwnedSemaphorePermit>,
}

impl Places {
    pub(super) fn new(what: &'static str, all: usize, each: usize, retry_after: u32) -> Arc<Self> {
        Arc::new(Self { what, all, each, retry_after, taken: Mutex::default() })
    }

    /// A place for this caller, where one is left.
    pub(super) fn take(self: &Arc<Self>, caller: &Caller) -> Result<Place, Problem> {
        let caller = caller.key();
        let mut taken = self.taken();
        let own = taken.callers.get(&caller).map_or(0, |own| own.places);
        if own >= self.each {
            return Err(self.none(format!("you have as many {} as one may have at a time", self.what)));
        }
        if taken.all >= self.all {
            return Err(self.none(format!("there are as many {} as there may be at a time", self.what)));
        }
        taken.all += 1;
        let none = || Own { places: 0, turns: Arc::new(Semaphore::new(TURNS)) };
        let own = taken.callers.entry(caller.clone()).or_insert_with(none);
        own.places += 1;
        let turns = own.turns.clone();
        drop(taken);
        Ok(Place { places: self.clone(), caller, turns, turn: None })
    }

    /// How many are taken.
    pub(super) fn count(&self) -> usize {
        self.taken().all
    }

    fn none(&self, detail: String) -> Problem {
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "busy", detail).retry_after(self.retry_after)
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits for one of the caller's turns, and keeps it as long as the place.
    pub(super) async fn turn(mut self) -> Self {
        // The semaphore is never closed.
        self.turn = self.turns.clone().acquire_owned().await.ok();
        self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all = taken.all.saturating_sub(1);
        if let Some(own) = taken.callers.get_mut(&self.caller) {
            own.places = own.places.saturating_sub(1);
            if own.places == 0 {
                taken.callers.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::access::Role;
    use futures_util::FutureExt as _;

    #[test]
    fn one_caller_leaves_places_to_others_and_gives_them_back() {
        let places = Places::new("tails", 3, 2, 1);
        let caller =
            |name: &str| Caller { name: name.to_owned(), token: None, role: Role::Auditor, recorder: None };
        let (alice, bob) = (caller("alice"), caller("bob"));
        let held = [places.take(&alice).unwrap(), places.take(&alice).unwrap()];
        assert!(places.take(&alice).is_err_and(|problem| problem.detail().starts_with("you have")));
        let _bobs = places.take(&bob).unwrap();
        assert!(places.take(&bob).is_err_and(|problem| problem.detail().starts_with("there are")));
        drop(held);
        assert_eq!((places.count(), places.taken().callers.len()), (1, 1));
        assert!(places.take(&alice).is_ok());
    }

    #[tokio::test]
    async fn turns_are_each_callers_own() {
        let places = Places::new("requests", 2 * TURNS + 2, TURNS + 1, 1);
        let caller =
            |name: &str| Caller { name: name.to_owned(), token: None, role: Role::Auditor, recorder: None };
        let mut held = Vec::new();
        for _ in 0..TURNS {
            held.push(places.take(&caller("alice")).unwrap().turn().await);
        }
        let mut waits = Box::pin(places.take(&caller("alice")).unwrap().turn());
        assert!(waits.as_mut().now_or_never().is_none());
        let _bobs = places.take(&caller("bob")).unwrap().turn().await;
        held.pop();
        assert!(waits.as_mut().now_or_never().is_some());
    }
}
