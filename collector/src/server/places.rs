//! How many at a time: so many in all, and so many of one caller, so that nobody takes the places of all others.

use super::auth::Caller;
use super::problem::Problem;
use axum::http::StatusCode;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    callers: HashMap<String, usize>,
}

/// One of them, until it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    caller: String,
}

impl Places {
    pub(super) fn new(what: &'static str, all: usize, each: usize, retry_after: u32) -> Arc<Self> {
        Arc::new(Self { what, all, each, retry_after, taken: Mutex::default() })
    }

    /// A place for this caller, where one is left.
    pub(super) fn take(self: &Arc<Self>, caller: &Caller) -> Result<Place, Problem> {
        let caller = caller.key();
        let mut taken = self.taken();
        let own = taken.callers.get(&caller).copied().unwrap_or(0);
        if own >= self.each {
            return Err(self.none(format!("you have as many {} as one may have at a time", self.what)));
        }
        if taken.all >= self.all {
            return Err(self.none(format!("there are as many {} as there may be at a time", self.what)));
        }
        taken.all += 1;
        taken.callers.insert(caller.clone(), own + 1);
        drop(taken);
        Ok(Place { places: self.clone(), caller })
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

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all = taken.all.saturating_sub(1);
        if let Some(own) = taken.callers.get_mut(&self.caller) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.callers.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::access::Role;

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
}
