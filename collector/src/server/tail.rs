//! `GET /v1/tail`: exchanges as they become known or change their state, as server-sent events.
//!
//! One task asks the database for the number of the last change, and only while somebody tails; all tails wait for what
//! it finds. Those that wait for the same changes share one query, so that many cost what one does.

use super::App;
use super::openapi::Refused;
use super::places::{Place, Places};
use super::problem::Problem;
use super::read::{LAST_EVENT_ID, log_access};
use super::shared::Shared;
use super::viewer;
use crate::store::filter::Filter;
use crate::store::{Reader, StoreError};
use axum::extract::{FromRequestParts, Query, State};
use axum::http::{HeaderMap, Request, StatusCode, header, request::Parts};
use axum::response::sse::{Event, Sse};
use futures_util::{Stream, stream};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How often the database is asked what other replicas wrote.
const POLL: Duration = Duration::from_secs(1);

/// Least time between two questions, whatever is written here.
const PAUSE: Duration = Duration::from_millis(100);

/// How often every tail shows that it is alive, and its token is looked up again.
const BEAT: Duration = Duration::from_secs(10);

/// Changes read at a time: what one tail holds in memory.
const PAGE: u32 = 50;

/// Queries of tails at a time: those who read otherwise need connections too.
const QUERIES: usize = 2;

/// What all tails wait for.
#[derive(Clone, Copy, Debug, Default)]
struct Pulse {
    /// The number of the last change.
    last: i64,
    /// Counts up with each [`BEAT`].
    beat: u64,
}

/// What tails share.
pub(super) struct Tails {
    places: Arc<Places>,
    written: Arc<Notify>,
    pulse: watch::Receiver<Pulse>,
    turns: Semaphore,
    pages: Shared<(Filter, i64, i64), Option<Page>>,
    callers: Shared<Credential, bool>,
}

/// The headers that say who somebody is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Credential {
    headers: Vec<Vec<u8>>,
    beat: u64,
}

/// Some changes, as every tail sends them.
struct Page {
    changes: Vec<(i64, String)>,
    until: i64,
}

impl Tails {
    /// Begins to follow a database; at most so many tails at a time, and of each caller. The task ends all of them when it
    /// is aborted.
    pub(super) fn start(reader: Reader, most: usize, each: usize) -> (Self, JoinHandle<()>) {
        let (sender, pulse) = watch::channel(Pulse::default());
        let written = Arc::new(Notify::new());
        let tails = Self {
            places: Places::new("tails", most, each, 10),
            written: written.clone(),
            pulse,
            turns: Semaphore::new(QUERIES),
            pages: Shared::default(),
            callers: Shared::default(),
        };
        (tails, tokio::spawn(follow(reader, sender, written)))
    }

    /// Says that this replica wrote something.
    pub(super) fn wake(&self) {
        self.written.notify_one();
    }

    /// How many are open.
    pub(super) fn open(&self) -> usize {
        self.places.count()
    }
}

async fn follow(reader: Reader, pulse: watch::Sender<Pulse>, written: Arc<Notify>) {
    let mut last_beat = Instant::now();
    loop {
        let _ = tokio::time::timeout(POLL, written.notified()).await;
        // The one receiver that is always there is the one that others are cloned from.
        if pulse.receiver_count() < 2 {
            continue;
        }
        if last_beat.elapsed() >= BEAT {
            last_beat = Instant::now();
            pulse.send_modify(|pulse| pulse.beat = pulse.beat.wrapping_add(1));
        }
        match reader.last_change().await {
            Ok(last) => {
                pulse.send_if_modified(|pulse| std::mem::replace(&mut pulse.last, last) != last);
            }
            Err(error) => tracing::warn!(%error, "Could not look for changes."),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Somebody who may read, has a place among the tails, and is in the access log.
pub(super) struct Watcher {
    place: Place,
}

impl FromRequestParts<Arc<App>> for Watcher {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let caller = viewer::reader(app, parts).await?;
        let place = app.tails.places.take(&caller)?;
        log_access(app, parts, &caller).await?;
        Ok(Self { place })
    }
}

/// What a tail tells: which exchanges, and after which change.
pub(super) struct Wanted {
    filter: Filter,
    after: Option<i64>,
}

impl FromRequestParts<Arc<App>> for Wanted {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        let refused = |detail: String| Problem::new(StatusCode::BAD_REQUEST, "query", detail);
        let unreadable = |_| refused("the query cannot be read".to_owned());
        let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map_err(unreadable)?;
        let mut filter = Filter::default();
        for (name, value) in pairs {
            filter.set(&name, &value).map_err(|error| refused(error.to_string()))?;
        }
        filter.check().map_err(|error| refused(error.to_string()))?;
        let number = |value: &header::HeaderValue| value.to_str().ok()?.parse().ok().filter(|n| *n >= 0);
        let after = match parts.headers.get(LAST_EVENT_ID) {
            None => None,
            Some(value) if value.is_empty() => None,
            Some(value) => Some(number(value).ok_or_else(|| {
                let detail = "`Last-Event-ID` is not the id of an event";
                Problem::new(StatusCode::BAD_REQUEST, "lastEventId", detail)
            })?),
        };
        Ok(Self { filter, after })
    }
}

/// `GET /v1/tail`: exchanges that the filter takes, each as it becomes known or changes its state, from now on or after
/// the event that `Last-Event-ID` names.
#[utoipa::path(
    get,
    path = "/v1/tail",
    tag = "records",
    params(Filter, ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was seen")),
    responses((status = 200, description = "Events `exchange`, each with an ExchangeSummary as its data", body = String, content_type = "text/event-stream"), Refused),
    security(("bearer" = []))
)]
pub(super) async fn tail(
    Watcher { place }: Watcher,
    State(app): State<Arc<App>>,
    wanted: Wanted,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let mut pulse = app.tails.pulse.clone();
    let last = app.reader.last_change().await.map_err(super::read::failed)?;
    if let Some(after) = wanted.after
        && !app.reader.keeps_changes(after).await.map_err(super::read::failed)?
    {
        let detail =
            "what followed that event is no longer known in order: list the exchanges since, then tail anew";
        return Err(Problem::new(StatusCode::GONE, "gone", detail));
    }
    let beat = pulse.borrow_and_update().beat;
    let headers = [header::AUTHORIZATION, header::COOKIE]
        .into_iter()
        .flat_map(|name| headers.get_all(&name).iter().map(move |value| (name.clone(), value.clone())))
        .collect();
    let tail = Tail {
        headers,
        filter: wanted.filter,
        // A number from another database may be ahead of this one.
        until: wanted.after.map_or(last, |after| after.min(last)),
        // What was written since the last pulse, and by whom nobody was tailing for, is found at once.
        seen: Pulse { last, beat },
        pulse,
        greeted: false,
        page: None,
        app,
        _place: place,
    };
    Ok(Sse::new(stream::unfold(tail, |mut tail| async {
        let event = tail.next().await?;
        Some((Ok(event), tail))
    })))
}

/// One who tails.
struct Tail {
    app: Arc<App>,
    headers: HeaderMap,
    filter: Filter,
    pulse: watch::Receiver<Pulse>,
    seen: Pulse,
    /// The client knows where it begins.
    greeted: bool,
    /// Every change up to here was sent.
    until: i64,
    /// What is being sent, and how many of it were.
    page: Option<(Arc<Option<Page>>, usize)>,
    _place: Place,
}

impl Tail {
    /// The next event; none where the tail ends.
    async fn next(&mut self) -> Option<Event> {
        if !std::mem::replace(&mut self.greeted, true) {
            return Some(self.place());
        }
        loop {
            let pulse = *self.pulse.borrow_and_update();
            self.seen.last = self.seen.last.max(pulse.last);
            if pulse.beat != self.seen.beat {
                self.seen.beat = pulse.beat;
                if !self.may_go_on().await {
                    return None;
                }
                return Some(self.place());
            }
            if let Some(event) = self.told() {
                return Some(event);
            }
            if self.seen.last > self.until && self.read().await {
                continue;
            }
            self.pulse.changed().await.ok()?;
        }
    }

    /// A comment that keeps the connection open, and from where a client that loses it goes on.
    fn place(&self) -> Event {
        Event::default().comment("").id(self.until.to_string())
    }

    /// The next change of the page.
    fn told(&mut self) -> Option<Event> {
        let (page, told) = self.page.as_mut()?;
        let page = page.as_ref().as_ref()?;
        let Some((number, exchange)) = page.changes.get(*told) else {
            self.until = page.until;
            self.page = None;
            return None;
        };
        *told += 1;
        self.until = *number;
        Some(Event::default().event("exchange").id(number.to_string()).data(exchange))
    }

    /// Reads the next page; false where that failed, which is tried again with the next pulse.
    async fn read(&mut self) -> bool {
        let (after, last) = (self.until, self.seen.last);
        let key = (self.filter.clone(), after, last);
        let page = self.app.tails.pages.get(key, || async {
            let _turn = self.app.tails.turns.acquire().await;
            let page = read(&self.app.reader, &self.filter, after, last).await;
            page.inspect_err(|error| tracing::warn!(%error, "Could not read changes.")).ok()
        });
        let page = page.await;
        let read = page.is_some();
        self.page = read.then_some((page, 0));
        read
    }

    /// False once the token is good no longer. Where that cannot be found out, nothing can be read either.
    async fn may_go_on(&self) -> bool {
        let headers = self.headers.values().map(|value| value.as_bytes().to_vec()).collect();
        let key = Credential { headers, beat: self.seen.beat };
        let asked = self.app.tails.callers.get(key, || async {
            let (mut parts, ()) = Request::new(()).into_parts();
            parts.headers = self.headers.clone();
            match viewer::reader(&self.app, &parts).await {
                Ok(_) => true,
                Err(problem) => problem.status() == StatusCode::SERVICE_UNAVAILABLE,
            }
        });
        *asked.await
    }
}

async fn read(reader: &Reader, filter: &Filter, after: i64, last: i64) -> Result<Page, StoreError> {
    let found = reader.changes(filter, after, last, PAGE).await?;
    let text = |exchange| serde_json::to_string(exchange).map_err(|_| StoreError::Damaged("a change"));
    let changes = found.changes.iter().map(|change| Ok((change.number, text(&change.exchange)?)));
    Ok(Page { changes: changes.collect::<Result<_, StoreError>>()?, until: found.until })
}
