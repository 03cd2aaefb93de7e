//! Batches' bytes beside the database, in a folder or an S3-compatible store.
//!
//! An object is written before the row that names it, and its key has the digest of its bytes: a batch that is posted
//! again finds its object, and nothing is ever replaced by other bytes. An object that no row names is harmless.

mod cache;
mod error;
mod removal;
mod url;

pub use error::BodyError;
pub use url::{BodiesUrl, UnknownBodies};

use super::batch::ReceivedBatch;
use crate::evidence::sha256_hex;
use cache::Cache;
use chaperone_record::Timestamp;
use futures_util::TryStreamExt as _;
use futures_util::stream::BoxStream;
use object_store::path::Path as Key;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Most batches that are written at a time.
const WRITES: usize = 32;

/// How long keeping one batch may take, its turn not counted.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The largest object that is read: no batch is larger.
const LARGEST: u64 = 1 << 30;

/// What keys of batches end in.
const SUFFIX: &str = ".json";

/// Where batches' bytes are kept.
#[derive(Clone)]
pub struct Bodies {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn ObjectStore>,
    root: Key,
    /// What it is called in errors.
    url: String,
    folder: bool,
    turns: Semaphore,
    cache: Mutex<Cache>,
}

impl Bodies {
    fn new(store: Arc<dyn ObjectStore>, root: Key, url: &BodiesUrl) -> Self {
        let (folder, url) = (matches!(url, BodiesUrl::Folder(_)), url.to_string());
        let turns = Semaphore::new(WRITES);
        Self { inner: Arc::new(Inner { store, root, url, folder, turns, cache: Mutex::default() }) }
    }

    /// Keeps a batch's bytes, and returns where. When it returns, they are durable.
    pub async fn put(&self, batch: &ReceivedBatch) -> Result<String, BodyError> {
        let Ok(_turn) = self.inner.turns.acquire().await else {
            return Err(BodyError::Timeout(self.inner.url.clone()));
        };
        let location = location(batch);
        let put = self.put_once(&location, batch);
        tokio::time::timeout(TIMEOUT, put)
            .await
            .unwrap_or_else(|_| Err(BodyError::Timeout(self.shown(&location))))?;
        Ok(location.into())
    }

    async fn put_once(&self, location: &Key, batch: &ReceivedBatch) -> Result<(), BodyError> {
        let (store, key) = (&self.inner.store, self.key(location));
        let payload = PutPayload::from(batch.body.clone());
        let failed = |source| self.failed(location, source);
        match store.put_opts(&key, payload.clone(), PutMode::Create.into()).await {
            Ok(_) => Ok(()),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
                self.fetch(location, &batch.digest).await?;
                if self.inner.folder {
                    // The same bytes: whoever wrote them may have ended before they were synced.
                    store.put(&key, payload).await.map_err(failed)?;
                }
                Ok(())
            }
            // A store that knows no conditions.
            Err(Error::NotImplemented { .. }) => match self.fetch(location, &batch.digest).await {
                Err(BodyError::Missing(_)) => store.put(&key, payload).await.map(drop).map_err(failed),
                other => other.map(drop),
            },
            Err(source) => Err(failed(source)),
        }
    }

    /// A batch's bytes, which must have this digest.
    pub async fn get(&self, location: &str, digest: &str) -> Result<Arc<[u8]>, BodyError> {
        let cache = || self.inner.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(body) = cache().get(location) {
            return Ok(body);
        }
        let key =
            Key::parse(location).map_err(|_| BodyError::Missing(format!("{}/{location}", self.inner.url)))?;
        let body = self.fetch(&key, digest).await?;
        cache().keep(location, &body);
        Ok(body)
    }

    async fn fetch(&self, location: &Key, digest: &str) -> Result<Arc<[u8]>, BodyError> {
        let got = match self.inner.store.get(&self.key(location)).await {
            Ok(got) => got,
            Err(Error::NotFound { .. }) => return Err(BodyError::Missing(self.shown(location))),
            Err(source) => return Err(self.failed(location, source)),
        };
        if got.meta.size > LARGEST {
            return Err(BodyError::Differs(self.shown(location)));
        }
        let body = got.bytes().await.map_err(|source| self.failed(location, source))?;
        if sha256_hex(&body) != digest {
            return Err(BodyError::Differs(self.shown(location)));
        }
        Ok(body.as_ref().into())
    }

    /// Writes a small object, to learn whether batches could be kept right now.
    pub async fn probe(&self) -> Result<(), BodyError> {
        let location = Key::from("probe");
        let put = self.inner.store.put(&self.key(&location), "chaperone\n".into()).await;
        put.map(drop).map_err(|source| self.failed(&location, source))
    }

    /// Takes an object away; that it is not there is no error.
    async fn remove(&self, location: &str) -> Result<(), BodyError> {
        let Ok(location) = Key::parse(location) else { return Ok(()) };
        match self.inner.store.delete(&self.key(&location)).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(self.failed(&location, source)),
        }
    }

    /// Where batches are that were written before a moment.
    fn older(&self, before: Timestamp) -> BoxStream<'_, Result<String, BodyError>> {
        let root = Some(&self.inner.root).filter(|root| root.parts().next().is_some());
        let objects = self.inner.store.list(root).map_err(|source| self.failed(&Key::default(), source));
        let before = i64::try_from(before.micros()).unwrap_or(i64::MAX);
        Box::pin(objects.try_filter_map(move |object| {
            let old = object.last_modified.timestamp_micros() < before;
            let location = object.location.prefix_match(&self.inner.root).map(|parts| parts.collect::<Key>());
            let batch =
                location.filter(|key| old && key.parts().count() == 2 && key.as_ref().ends_with(SUFFIX));
            std::future::ready(Ok(batch.map(String::from)))
        }))
    }

    fn key(&self, location: &Key) -> Key {
        self.inner.root.parts().chain(location.parts()).collect()
    }

    fn shown(&self, location: &Key) -> String {
        format!("{}/{location}", self.inner.url)
    }

    fn failed(&self, location: &Key, source: Error) -> BodyError {
        BodyError::Failed { object: self.shown(location), source }
    }
}

impl fmt::Debug for Bodies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bodies({})", self.inner.url)
    }
}

/// A batch's place below the root: its chain, its number, and the digest of its bytes.
fn location(batch: &ReceivedBatch) -> Key {
    Key::from_iter([batch.recorder.as_str(), &format!("{:019}-{}{SUFFIX}", batch.batch, batch.digest)])
}
