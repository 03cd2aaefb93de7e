use std::path::PathBuf;

/// Why a batch's bytes could not be kept or read. Its text names places and causes, never a record's content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The place could not be opened.
    #[error("{url}: {source}")]
    Open {
        /// Which.
        url: String,
        /// Why.
        source: object_store::Error,
    },
    /// The folder could not be made.
    #[error("{folder}: {source}", folder = folder.display())]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Nothing says where the bytes are.
    #[error("{0} is not in the database: --bodies-url or CHAPERONE_BODIES must say where batches are kept")]
    Nowhere(String),
    /// The object is not there.
    #[error("{0} is not there")]
    Missing(String),
    /// The object is another one.
    #[error("{0} is not what was received: its SHA-256 is another")]
    Differs(String),
    /// The store did not do what it was asked for.
    #[error("{object}: {source}")]
    Failed {
        /// Which object.
        object: String,
        /// Why.
        source: object_store::Error,
    },
    /// The store did not answer in time.
    #[error("{0}: no answer in time")]
    Timeout(String),
}

impl BodyError {
    /// True where the store answered, and what it should hold is gone or changed: trying again will not help.
    pub fn is_loss(&self) -> bool {
        matches!(self, Self::Missing(_) | Self::Differs(_))
    }
}
