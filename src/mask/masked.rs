//! What was masked, by path.

use super::originals::Originals;
use chaperone_record::Masked;

/// What was masked, by path, bounded in the number of paths; and the originals, where they are to be sealed.
#[derive(Clone, Debug, Default)]
pub struct MaskedPaths {
    paths: Vec<Masked>,
    originals: Option<Originals>,
}

/// As many different paths are kept; the rest counts under `…`.
const MAX_PATHS: usize = 256;

impl MaskedPaths {
    /// A list that keeps the originals too.
    pub fn with_originals() -> Self {
        Self { paths: Vec::new(), originals: Some(Originals::default()) }
    }

    /// Counts one value at `path`.
    pub fn add(&mut self, path: &str) {
        self.add_many(path, 1);
    }

    /// Counts `count` values at `path`.
    pub fn add_many(&mut self, path: &str, count: u64) {
        if let Some(known) = self.paths.iter_mut().find(|known| known.path == path) {
            known.count = known.count.saturating_add(count);
        } else if self.paths.len() < MAX_PATHS {
            self.paths.push(Masked { path: path.to_owned(), count });
        } else {
            self.add_rest(count);
        }
    }

    fn add_rest(&mut self, count: u64) {
        match self.paths.iter_mut().find(|known| known.path == "…") {
            Some(rest) => rest.count = rest.count.saturating_add(count),
            None => self.paths.push(Masked { path: "…".to_owned(), count }),
        }
    }

    /// The paths and how many values each stood for.
    pub fn paths(&self) -> &[Masked] {
        &self.paths
    }

    /// Whether originals are kept.
    pub(super) fn keeps_originals(&self) -> bool {
        self.originals.is_some()
    }

    /// Keeps an original, where originals are kept; none is too long.
    pub(super) fn keep(&mut self, path: impl FnOnce() -> String, value: Option<&[u8]>) {
        match (&mut self.originals, value) {
            (Some(originals), Some(value)) => originals.add(path(), value),
            (Some(originals), None) => originals.omit(),
            (None, _) => {}
        }
    }

    /// The originals, where they are kept.
    pub fn originals(&self) -> Option<&Originals> {
        self.originals.as_ref()
    }
}
