//! Watches: a line of JSON for each change, until the client has had enough or its time is up.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::channel::{Channel, Sender};
use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::negotiate::Shape;
use super::query::{Query, Selector};
use super::resource::Resource;
use super::store::{Key, Store};
use super::table::shaped;

/// What a client watches, and how it wants to be told.
pub(super) struct Watch {
    pub(super) resource: &'static Resource,
    pub(super) namespace: String,
    pub(super) selector: Selector,
    pub(super) shape: Shape,
    /// Changes after this version are told; without one everything there is comes first.
    since: Option<u64>,
    /// A bookmark tells where the objects that were there already end (`sendInitialEvents`).
    marks_initial_end: bool,
    limit: Duration,
    /// Column definitions come with the first table only.
    columns_told: bool,
}

// === impl Watch ===

impl Watch {
    pub(super) fn new(
        resource: &'static Resource,
        namespace: String,
        selector: Selector,
        shape: Shape,
        query: &Query,
    ) -> Self {
        let marks_initial_end = query.is_on("sendInitialEvents");
        Self {
            resource,
            namespace,
            selector,
            shape,
            since: query.number("resourceVersion").filter(|_| !marks_initial_end),
            marks_initial_end,
            // The API server's own default is between 30 and 60 minutes.
            limit: Duration::from_secs(query.number("timeoutSeconds").unwrap_or(1800)),
            columns_told: false,
        }
    }

    /// The answer's body, fed until the watch ends.
    pub(super) fn start(self, store: Arc<Store>) -> Channel<Bytes, Infallible> {
        let (sender, body) = Channel::new(16);
        tokio::spawn(self.run(store, sender));
        body
    }

    /// Runs until the time is up or nobody reads any more.
    async fn run(mut self, store: Arc<Store>, mut lines: Sender<Bytes, Infallible>) -> Option<()> {
        let deadline = Instant::now() + self.limit;
        let mut versions = store.versions();
        let mut seen = match self.since {
            Some(version) => version,
            None => {
                let (mut present, version) = store.list(self.resource, &self.namespace);
                present.retain(|(_, object)| self.selector.matches(object));
                for (_, object) in present {
                    self.tell(&mut lines, "ADDED", object).await?;
                }
                if self.marks_initial_end {
                    let mark = self.bookmark(version);
                    self.tell(&mut lines, "BOOKMARK", mark).await?;
                }
                version
            }
        };
        loop {
            versions.borrow_and_update();
            for change in store.changes_since(seen) {
                seen = change.version;
                if self.concerns(&change.key) && self.selector.matches(&change.object) {
                    self.tell(&mut lines, change.event, change.object).await?;
                }
            }
            timeout_at(deadline, versions.changed()).await.ok()?.ok()?;
        }
    }

    fn concerns(&self, key: &Key) -> bool {
        key.is_in(self.resource, &self.namespace)
    }

    fn bookmark(&self, version: u64) -> Value {
        json!({
            "kind": self.resource.kind, "apiVersion": self.resource.api_version(),
            "metadata": {
                "resourceVersion": version.to_string(), "creationTimestamp": null,
                "annotations": {"k8s.io/initial-events-end": "true"},
            },
        })
    }

    async fn tell(
        &mut self,
        lines: &mut Sender<Bytes, Infallible>,
        event: &str,
        object: Value,
    ) -> Option<()> {
        let mut object = shaped(self.shape, self.resource, object);
        if matches!(self.shape, Shape::Table(_)) && std::mem::replace(&mut self.columns_told, true) {
            object["columnDefinitions"] = json!([]);
        }
        let line = format!("{}\n", json!({"type": event, "object": object}));
        lines.send_data(Bytes::from(line)).await.ok()
    }
}
