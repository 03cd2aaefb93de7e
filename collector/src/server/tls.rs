//! TLS with a certificate from files, which are read again when they change: on SIGHUP at once, else within a minute.

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(60);

/// A certificate with its chain, and its key, both PEM.
#[derive(Clone, Debug)]
pub struct Files {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not what it should be.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// The certificate and the key do not do together.
    #[error("the TLS certificate and key cannot be used: {0}")]
    Pair(#[from] rustls::Error),
    /// No signal can be waited for.
    #[error("cannot wait for SIGHUP: {0}")]
    Signal(#[from] std::io::Error),
}

/// What speaks TLS, as the files last said.
pub(super) struct Tls {
    current: Arc<RwLock<Arc<ServerConfig>>>,
    watching: JoinHandle<()>,
}

impl Tls {
    /// Reads the files, and goes on watching them.
    pub(super) fn start(files: Files) -> Result<Self, TlsError> {
        let current = Arc::new(RwLock::new(load(&files)?));
        let mut hangups = signal(SignalKind::hangup())?;
        let shared = current.clone();
        let watching = tokio::spawn(async move {
            let mut seen = files.changed();
            loop {
                let asked = tokio::select! {
                    _ = hangups.recv() => true,
                    () = tokio::time::sleep(LOOK) => false,
                };
                let changed = files.changed();
                if !asked && changed == seen {
                    continue;
                }
                seen = changed;
                match load(&files) {
                    Ok(config) => {
                        *shared.write().unwrap_or_else(PoisonError::into_inner) = config;
                        tracing::info!("The TLS certificate was read again.");
                    }
                    Err(error) => tracing::error!(%error, "The TLS certificate stays as it was."),
                }
            }
        });
        Ok(Self { current, watching })
    }

    /// What takes the next connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone().into()
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

impl Files {
    fn changed(&self) -> [Option<SystemTime>; 2] {
        let of = |path: &Path| path.metadata().ok()?.modified().ok();
        [of(&self.certificate), of(&self.key)]
    }
}

fn load(files: &Files) -> Result<Arc<ServerConfig>, TlsError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        |source| TlsError::File { path, source }
    };
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(failed(&files.certificate))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(failed(&files.key))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
