//! What really arrived: the truth a test holds records against.

use std::fmt;
use std::sync::{Mutex, MutexGuard};

use hyper::HeaderMap;
use hyper::http::request::Parts;

/// One request as it arrived, and how it was answered.
#[derive(Clone)]
pub struct Logged {
    /// The method.
    pub method: String,
    /// Path and query, as sent.
    pub uri: String,
    /// Every header, credentials too.
    pub headers: HeaderMap,
    /// `Audit-ID`: the client's, or the stand-in's own.
    pub audit_id: String,
    /// The body, as far as it came.
    pub body: Vec<u8>,
    /// The answer's status; none while there is no answer, which is for ever if the request broke off.
    pub status: Option<u16>,
}

/// All requests, in the order their headers came.
#[derive(Default)]
pub(super) struct Log(Mutex<Vec<Logged>>);

/// One entry's place in the log.
#[derive(Clone, Copy)]
pub(super) struct Entry(usize);

impl fmt::Debug for Logged {
    /// Neither headers nor body: they hold what must not be printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {:?}", self.method, self.uri, self.status)
    }
}

// === impl Log ===

impl Log {
    fn entries(&self) -> MutexGuard<'_, Vec<Logged>> {
        self.0.lock().expect("no holder panics")
    }

    pub(super) fn after(&self, count: usize) -> Vec<Logged> {
        self.entries().iter().skip(count).cloned().collect()
    }

    pub(super) fn begin(&self, request: &Parts, audit_id: &str) -> Entry {
        let uri = request.uri.path_and_query().map_or("", |uri| uri.as_str());
        let mut entries = self.entries();
        entries.push(Logged {
            method: request.method.to_string(),
            uri: uri.to_owned(),
            headers: request.headers.clone(),
            audit_id: audit_id.to_owned(),
            body: Vec::new(),
            status: None,
        });
        Entry(entries.len() - 1)
    }

    pub(super) fn received(&self, entry: Entry, piece: &[u8]) {
        self.entries()[entry.0].body.extend_from_slice(piece);
    }

    pub(super) fn answered(&self, entry: Entry, status: u16) {
        self.entries()[entry.0].status = Some(status);
    }
}
