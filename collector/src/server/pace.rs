//! How often something may happen: so many a second on average, twice as many at once. What is remembered is bounded.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Most keys that are remembered.
const KEYS: usize = 10_000;

/// A token bucket for each key.
pub(super) struct Pace<K> {
    /// A second.
    rate: f64,
    burst: f64,
    buckets: Mutex<HashMap<K, Bucket>>,
}

struct Bucket {
    left: f64,
    at: Instant,
}

impl<K: Clone + Eq + Hash> Pace<K> {
    pub(super) fn new(rate: f64, burst: f64) -> Self {
        Self { rate, burst, buckets: Mutex::default() }
    }

    /// Takes one; else, in how many seconds there will be one.
    pub(super) fn take(&self, key: &K, now: Instant) -> Result<(), u32> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if !buckets.contains_key(key) && buckets.len() >= KEYS {
            // A full bucket says as much as none.
            buckets.retain(|_, bucket| self.left(bucket, now) < self.burst);
            if buckets.len() >= KEYS
                && let Some(any) = buckets.keys().next().cloned()
            {
                buckets.remove(&any);
            }
        }
        let bucket = buckets.entry(key.clone()).or_insert(Bucket { left: self.burst, at: now });
        let left = self.left(bucket, now);
        let taken = left >= 1.0;
        *bucket = Bucket { left: if taken { left - 1.0 } else { left }, at: now };
        if taken { Ok(()) } else { Err(((1.0 - left) / self.rate).ceil().clamp(1.0, 3600.0) as u32) }
    }

    /// Gives one back that did not count.
    pub(super) fn give_back(&self, key: &K) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(key) {
            bucket.left = (bucket.left + 1.0).min(self.burst);
        }
    }

    fn left(&self, bucket: &Bucket, now: Instant) -> f64 {
        let gained = now.saturating_duration_since(bucket.at).as_secs_f64() * self.rate;
        (bucket.left + gained).min(self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn each_key_has_its_own_and_gets_more_with_time() {
        let (pace, start) = (Pace::new(0.5, 2.0), Instant::now());
        assert_eq!([(); 3].map(|()| pace.take(&"a", start)), [Ok(()), Ok(()), Err(2)]);
        assert_eq!(pace.take(&"b", start), Ok(()));
        assert_eq!(pace.take(&"a", start + Duration::from_secs(1)), Err(1));
        assert_eq!(pace.take(&"a", start + Duration::from_secs(2)), Ok(()));
        pace.give_back(&"a");
        assert_eq!(pace.take(&"a", start + Duration::from_secs(2)), Ok(()));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (pace, start) = (Pace::new(1.0, 2.0), Instant::now());
        for key in 0..3 * KEYS {
            pace.take(&key, start).unwrap();
        }
        assert!(pace.buckets.lock().unwrap().len() <= KEYS);
    }
}
