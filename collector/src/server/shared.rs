//! Answers that are worked out once for all who ask at the same time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::sync::OnceCell;

/// What is being asked for. It keeps no answer longer than somebody holds it.
pub(super) struct Shared<K, V> {
    asked: Mutex<HashMap<K, Weak<OnceCell<Arc<V>>>>>,
}

impl<K, V> Default for Shared<K, V> {
    fn default() -> Self {
        Self { asked: Mutex::default() }
    }
}

impl<K: Eq + Hash, V> Shared<K, V> {
    /// The answer to a question; `work` finds it where nobody else is at it.
    pub(super) async fn get<F: Future<Output = V>>(&self, key: K, work: impl FnOnce() -> F) -> Arc<V> {
        let cell = {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            match asked.get(&key).and_then(Weak::upgrade) {
                Some(cell) => cell,
                None => {
                    asked.retain(|_, cell| cell.strong_count() > 0);
                    let cell = Arc::new(OnceCell::new());
                    asked.insert(key, Arc::downgrade(&cell));
                    cell
                }
            }
        };
        cell.get_or_init(|| async { Arc::new(work().await) }).await.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn those_who_ask_together_share_an_answer_and_nothing_is_kept() {
        let (shared, worked) = (Shared::default(), AtomicUsize::new(0));
        let ask = || {
            shared.get("key", || async {
                tokio::task::yield_now().await;
                worked.fetch_add(1, Ordering::Relaxed)
            })
        };
        let (first, second) = tokio::join!(ask(), ask());
        assert_eq!((*first, *second, worked.load(Ordering::Relaxed)), (0, 0, 1));
        assert_eq!(*ask().await, 1);
        assert_eq!(shared.asked.lock().unwrap().values().filter(|cell| cell.strong_count() > 0).count(), 0);
    }
}
