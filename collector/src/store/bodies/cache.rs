use std::collections::VecDeque;
use std::sync::Arc;

/// Most bytes that are held.
const MOST: usize = 32 << 20;

/// The batches that were read last: an exchange's entries stand in few, and exchanges are read in order.
#[derive(Default)]
pub(super) struct Cache {
    bytes: usize,
    /// The newest last.
    kept: VecDeque<(String, Arc<[u8]>)>,
}

impl Cache {
    pub(super) fn get(&self, location: &str) -> Option<Arc<[u8]>> {
        self.kept.iter().rev().find(|(key, _)| key == location).map(|(_, body)| Arc::clone(body))
    }

    pub(super) fn keep(&mut self, location: &str, body: &Arc<[u8]>) {
        if body.len() > MOST || self.get(location).is_some() {
            return;
        }
        self.bytes += body.len();
        self.kept.push_back((location.to_owned(), Arc::clone(body)));
        while self.bytes > MOST {
            let Some((_, oldest)) = self.kept.pop_front() else { break };
            self.bytes -= oldest.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_the_oldest_goes_first() {
        let (mut cache, body) = (Cache::default(), Arc::<[u8]>::from(vec![0; MOST / 2]));
        for key in ["a", "b", "b", "c"] {
            cache.keep(key, &body);
        }
        assert_eq!(["a", "b", "c"].map(|key| cache.get(key).is_some()), [false, true, true]);
        cache.keep("d", &vec![0; MOST + 1].into());
        assert!(cache.get("d").is_none() && cache.bytes == MOST);
    }
}
