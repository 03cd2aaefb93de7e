//! Connections that are open. Where there are as many as may be, the one that has waited longest for a request gives way
//! to a new one: who connects and says nothing is in nobody's way.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How long a connection may wait for a request before it gives way.
const PATIENCE: Duration = Duration::from_secs(1);

/// All of them.
#[derive(Default)]
pub(super) struct Connections {
    open: Mutex<Vec<Arc<State>>>,
}

struct State {
    /// Since when it waits for a request; none while it is answered.
    waiting: Mutex<Option<Instant>>,
    gives_way: Notify,
}

/// One of them, until it is dropped.
pub(super) struct Connection {
    all: Arc<Connections>,
    state: Arc<State>,
}

/// A request of a connection, from its head to the end of its answer.
pub(super) struct Answering(Arc<State>);

impl Connections {
    pub(super) fn enter(self: &Arc<Self>, now: Instant) -> Connection {
        let state = Arc::new(State { waiting: Mutex::new(Some(now)), gives_way: Notify::new() });
        self.open().push(state.clone());
        Connection { all: self.clone(), state }
    }

    /// Closes the one that has waited longest, where one has for long.
    pub(super) fn close_one(&self, now: Instant) {
        let mut open = self.open();
        let waiting = open.iter().enumerate().filter_map(|(index, state)| Some((state.waiting()?, index)));
        if let Some((since, index)) = waiting.min()
            && now.saturating_duration_since(since) >= PATIENCE
        {
            open.swap_remove(index).gives_way.notify_one();
        }
    }

    fn open(&self) -> MutexGuard<'_, Vec<Arc<State>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn waiting(&self) -> Option<Instant> {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, since: Option<Instant>) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }
}

impl Connection {
    /// A request's head has come.
    pub(super) fn answer(&self) -> Answering {
        self.state.wait(None);
        Answering(self.state.clone())
    }

    /// Returns when it has to give way.
    pub(super) async fn gives_way(&self) {
        self.state.gives_way.notified().await;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.all.open().retain(|other| !Arc::ptr_eq(other, &self.state));
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.wait(Some(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[tokio::test]
    async fn who_waits_longest_gives_way() {
        let (all, now) = (Arc::new(Connections::default()), Instant::now());
        let before = |seconds| now.checked_sub(Duration::from_secs(seconds)).unwrap();
        let [busy, old, older, new] = [9, 2, 3, 0].map(|seconds| all.enter(before(seconds)));
        let answering = busy.answer();
        let gone = || [&busy, &old, &older, &new].map(|one| one.gives_way().now_or_never().is_some());
        all.close_one(now);
        assert_eq!(gone(), [false, false, true, false]);
        all.close_one(now);
        assert_eq!(gone(), [false, true, false, false]);
        all.close_one(now);
        assert_eq!(gone(), [false; 4]);
        drop(answering);
        all.close_one(now + PATIENCE + Duration::from_secs(60));
        assert_eq!(gone(), [false, false, false, true]);
        drop((busy, old, older, new));
        assert!(all.open().is_empty());
    }
}
