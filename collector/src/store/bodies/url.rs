use super::Bodies;
use super::error::BodyError;
use object_store::ClientConfigKey;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Key;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};
use std::fmt;
use std::fs::{DirBuilder, File};
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// How long a request that failed is tried again.
const RETRIES: Duration = Duration::from_secs(8);

/// Where batches' bytes are kept: `file:///FOLDER` or `s3://BUCKET/PREFIX`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodiesUrl {
    /// A folder.
    Folder(PathBuf),
    /// A bucket of S3 or of what speaks like it. Endpoint, region and credentials are the environment's (`AWS_…`).
    S3 {
        /// Its name.
        bucket: String,
        /// What every key begins with.
        prefix: String,
    },
}

/// A URL that names no such place.
#[derive(Debug, thiserror::Error)]
#[error("{0}: not a place for batches; use file:///FOLDER or s3://BUCKET/PREFIX")]
pub struct UnknownBodies(String);

impl BodiesUrl {
    /// Opens it, and makes a folder where it is missing.
    pub fn create(&self) -> Result<Bodies, BodyError> {
        if let Self::Folder(folder) = self {
            make(folder).map_err(|source| BodyError::Folder { folder: folder.clone(), source })?;
        }
        self.open()
    }

    /// Opens it.
    pub fn open(&self) -> Result<Bodies, BodyError> {
        let failed = |source| BodyError::Open { url: self.to_string(), source };
        let (store, root): (Arc<dyn ObjectStore>, Key) = match self {
            Self::Folder(folder) => {
                // What is acknowledged is on disk: file and folder are synced.
                let store = LocalFileSystem::new_with_prefix(folder).map_err(failed)?.with_fsync(true);
                (Arc::new(store), Key::default())
            }
            Self::S3 { bucket, prefix } => {
                // The client takes the process' default; where there is one, any will do.
                let _ = rustls::crypto::ring::default_provider().install_default();
                let retry = RetryConfig {
                    backoff: BackoffConfig {
                        init_backoff: Duration::from_millis(100),
                        ..BackoffConfig::default()
                    },
                    max_retries: 4,
                    retry_timeout: RETRIES,
                };
                let store = AmazonS3Builder::from_env()
                    .with_config(AmazonS3ConfigKey::Client(ClientConfigKey::ConnectTimeout), "3s")
                    .with_config(AmazonS3ConfigKey::Client(ClientConfigKey::Timeout), "15s")
                    .with_bucket_name(bucket)
                    .with_retry(retry)
                    .build();
                (Arc::new(store.map_err(failed)?), Key::from(prefix.as_str()))
            }
        };
        Ok(Bodies::new(store, root, self))
    }
}

/// Makes a folder that only its owner can read, durably.
fn make(folder: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    for parent in missing.into_iter().filter_map(Path::parent) {
        File::open(parent)?.sync_all()?;
    }
    Ok(())
}

impl FromStr for BodiesUrl {
    type Err = UnknownBodies;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Never the whole URL: somebody may have put a secret into it.
        let unknown =
            || UnknownBodies(text.split("://").next().unwrap_or_default().chars().take(20).collect());
        if text.contains(['?', '#', '@']) {
            return Err(unknown());
        }
        match text.split_once("://") {
            Some(("file", path)) if path.starts_with('/') => Ok(Self::Folder(path.into())),
            Some(("s3", rest)) => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                let named = !bucket.is_empty();
                let s3 = Self::S3 { bucket: bucket.to_owned(), prefix: prefix.trim_matches('/').to_owned() };
                named.then_some(s3).ok_or_else(unknown)
            }
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for BodiesUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => write!(f, "file://{}", folder.display()),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_named_in_two_ways() {
        for (url, shown) in [
            ("file:///var/lib/chaperone/bodies", Some("file:///var/lib/chaperone/bodies")),
            ("s3://records", Some("s3://records")),
            ("s3://records/a/b/", Some("s3://records/a/b")),
            ("file://relative", None),
            ("s3://", None),
            ("s3://key:secret@records", None),
            ("https://records.example.com/?token=secret", None),
            ("records", None),
        ] {
            let parsed = url.parse::<BodiesUrl>();
            assert_eq!(parsed.as_ref().ok().map(ToString::to_string).as_deref(), shown, "{url}");
            assert!(parsed.err().is_none_or(|error| !error.to_string().contains("secret")), "{url}");
        }
    }
}
