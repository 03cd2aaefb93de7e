//! What was masked, by path.

use chaperone_record::Masked;

/// What was masked, by path, bounded in the number of paths.
#[derive(Clone, Debug, Default)]
pub struct MaskedPaths {
    paths: Vec<Masked>,
}

/// As many different paths are kept; the rest counts under `…`.
const MAX_PATHS: usize = 256;

impl MaskedPaths {
    /// Counts one value at `path`.
    pub fn add(&mut self, path: &str) {
        if let Some(known) = self.paths.iter_mut().find(|known| known.path == path) {
            known.count = known.count.saturating_add(1);
        } else if self.paths.len() < MAX_PATHS {
            self.paths.push(Masked { path: path.to_owned(), count: 1 });
        } else {
            self.add_rest();
        }
    }

    fn add_rest(&mut self) {
        match self.paths.iter_mut().find(|known| known.path == "…") {
            Some(rest) => rest.count = rest.count.saturating_add(1),
            None => self.paths.push(Masked { path: "…".to_owned(), count: 1 }),
        }
    }

    /// The paths and how many values each stood for.
    pub fn paths(&self) -> &[Masked] {
        &self.paths
    }
}
