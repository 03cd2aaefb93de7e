//! Memory for batches: taken as their bytes arrive, so that nobody holds what they only announce. Where it is short,
//! somebody whose batch has long been arriving, or whose token holds more than that of who asks, gives way: posts that
//! stall are in nobody's way.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// How long a batch may be arriving before it gives way to any other.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long to wait for the room of who gives way.
const HANDOVER: Duration = Duration::from_secs(1);

/// All of it.
pub(super) struct Room {
    free: Arc<Semaphore>,
    /// The oldest first.
    arriving: Mutex<Vec<Arc<Arrival>>>,
}

/// A batch that is arriving.
struct Arrival {
    token: Option<String>,
    since: Instant,
    bytes: Mutex<usize>,
    gives_way: Notify,
}

/// There is no room, and nobody that would give way.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full;

/// One batch's part. It is given back when this is dropped.
pub(super) struct Part {
    room: Arc<Room>,
    arrival: Arc<Arrival>,
    held: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Room for so many bytes.
    pub(super) fn new(bytes: usize) -> Arc<Self> {
        let free = Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self { free, arriving: Mutex::default() })
    }

    /// A batch begins to arrive: it has no room yet.
    pub(super) fn enter(self: &Arc<Self>, token: Option<String>, now: Instant) -> Part {
        let arrival = Arrival { token, since: now, bytes: Mutex::default(), gives_way: Notify::new() };
        let arrival = Arc::new(arrival);
        self.arriving().push(arrival.clone());
        Part { room: self.clone(), arrival, held: None }
    }

    fn arriving(&self) -> MutexGuard<'_, Vec<Arc<Arrival>>> {
        self.arriving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends somebody away for `asking`; false where nobody has to go.
    fn clear(&self, asking: &Arc<Arrival>, now: Instant) -> bool {
        let mut arriving = self.arriving();
        let held = |token: &Option<String>| -> usize {
            arriving.iter().filter(|other| other.token == *token).map(|other| other.held()).sum()
        };
        let own = held(&asking.token);
        let goes = arriving.iter().position(|other| {
            let long = now.saturating_duration_since(other.since) >= PATIENCE;
            !Arc::ptr_eq(other, asking) && other.held() > 0 && (long || held(&other.token) > own)
        });
        goes.inspect(|&index| arriving.remove(index).gives_way.notify_one()).is_some()
    }

    fn forget(&self, arrival: &Arc<Arrival>) {
        self.arriving().retain(|other| !Arc::ptr_eq(other, arrival));
    }
}

impl Arrival {
    fn held(&self) -> usize {
        *self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    /// Takes room for so many bytes more.
    pub(super) async fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        let count = u32::try_from(bytes).map_err(|_| Full)?;
        let free = self.room.free.clone();
        let permit = match free.clone().try_acquire_many_owned(count) {
            Ok(permit) => permit,
            Err(_) if self.room.clear(&self.arrival, Instant::now()) => {
                let given = tokio::time::timeout(HANDOVER, free.acquire_many_owned(count)).await;
                given.ok().and_then(Result::ok).ok_or(Full)?
            }
            Err(_) => return Err(Full),
        };
        *self.arrival.bytes.lock().unwrap_or_else(PoisonError::into_inner) += bytes;
        match &mut self.held {
            Some(held) => held.merge(permit),
            none => *none = Some(permit),
        }
        Ok(())
    }

    /// Returns when this batch has to give way.
    pub(super) fn gives_way(&self) -> impl Future<Output = ()> + use<> {
        let arrival = self.arrival.clone();
        async move { arrival.gives_way.notified().await }
    }

    /// It is all there, and gives way no longer.
    pub(super) fn arrived(&self) {
        self.room.forget(&self.arrival);
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.room.forget(&self.arrival);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_long_at_it_or_holds_more_gives_way() {
        let (room, now) = (Room::new(100), Instant::now());
        let token = |name: &str| Some(name.to_owned());
        let long_ago = now.checked_sub(PATIENCE).unwrap();
        for (case, other, since, goes) in [
            ("the same token's, new", "a", now, false),
            ("the same token's, for long", "a", long_ago, true),
            ("one that holds more", "b", now, true),
        ] {
            let mut stalled = room.enter(token(other), since);
            stalled.grow(90).await.unwrap();
            let mut asking = room.enter(token("a"), now);
            let gone = stalled.gives_way();
            let leaves = tokio::spawn(async move {
                gone.await;
                drop(stalled);
            });
            assert_eq!(asking.grow(20).await.is_ok(), goes, "{case}");
            leaves.abort();
            let _ = leaves.await;
        }
        assert_eq!(room.free.available_permits(), 100);
    }

    #[tokio::test]
    async fn what_arrived_stays() {
        let room = Room::new(100);
        let long_ago = Instant::now().checked_sub(PATIENCE).unwrap();
        let mut waiting = room.enter(None, long_ago);
        waiting.grow(100).await.unwrap();
        waiting.arrived();
        assert_eq!(room.enter(None, Instant::now()).grow(1).await, Err(Full));
    }
}
