//! Exchanges as they arrive: a database is polled, a collector's live tail is read.

use super::Failure;
use super::client::{Client, ClientError};
use super::source::Source;
use crate::store::Reader;
use crate::store::filter::Filter;
use crate::store::model::ExchangeSummary;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::time::Duration;
use tokio::sync::mpsc;

/// How often a database is asked, and how long to wait before a lost tail is taken up again.
const POLL: Duration = Duration::from_secs(1);

/// Exchanges read at a time.
const PAGE: u32 = 200;

/// Waits for exchanges that a filter takes.
pub(super) enum Follower {
    Database { reader: Reader, filter: Box<Filter>, after: i64, found: VecDeque<ExchangeSummary> },
    Server(mpsc::Receiver<Result<ExchangeSummary, Failure>>),
}

impl Follower {
    /// Follows from this moment on.
    pub(super) async fn begin(source: &Source, filter: Filter) -> Result<Self, Failure> {
        match source {
            Source::Database(reader) => Ok(Self::Database {
                reader: reader.clone(),
                filter: Box::new(filter),
                after: reader.last_change().await?,
                found: VecDeque::new(),
            }),
            Source::Server(client) => {
                let tail = Tail { client: client.clone(), filter, last: None };
                let stream = tail.open()?;
                let (sender, receiver) = mpsc::channel(PAGE as usize);
                std::thread::spawn(move || tail.run(stream, &sender));
                Ok(Self::Server(receiver))
            }
        }
    }

    /// The next exchange that became known, or changed its state.
    pub(super) async fn next(&mut self) -> Result<Option<ExchangeSummary>, Failure> {
        match self {
            Self::Server(exchanges) => exchanges.recv().await.transpose(),
            Self::Database { reader, filter, after, found } => loop {
                if let Some(exchange) = found.pop_front() {
                    return Ok(Some(exchange));
                }
                let last = reader.last_change().await?;
                if last <= *after {
                    tokio::time::sleep(POLL).await;
                    continue;
                }
                let changes = reader.changes(filter, *after, last, PAGE).await?;
                *after = changes.until;
                found.extend(changes.changes.into_iter().map(|change| change.exchange));
            },
        }
    }
}

/// A live tail, which is opened again where it is lost.
struct Tail {
    client: Client,
    filter: Filter,
    last: Option<String>,
}

impl Tail {
    fn open(&self) -> Result<impl BufRead + use<>, Failure> {
        let query = self.filter.parameters();
        let body = self.client.stream(&["v1", "tail"], &query, self.last.as_deref())?;
        let missing = || Failure::Missing { what: "path", id: "/v1/tail".to_owned() };
        Ok(BufReader::new(body.ok_or_else(missing)?.into_reader()))
    }

    fn run(mut self, stream: impl BufRead, exchanges: &mpsc::Sender<Result<ExchangeSummary, Failure>>) {
        if !self.read(stream, exchanges) {
            return;
        }
        loop {
            std::thread::sleep(POLL);
            let going = match self.open() {
                Ok(stream) => self.read(stream, exchanges),
                Err(Failure::Server(ClientError::Unreachable { .. })) => !exchanges.is_closed(),
                Err(error) => {
                    let _ = exchanges.blocking_send(Err(error));
                    false
                }
            };
            if !going {
                return;
            }
        }
    }

    /// Reads events until the stream ends; false where nobody listens any more.
    fn read(
        &mut self,
        stream: impl BufRead,
        exchanges: &mpsc::Sender<Result<ExchangeSummary, Failure>>,
    ) -> bool {
        let mut data = None;
        for line in stream.lines().map_while(Result::ok) {
            match line.split_once(':') {
                Some(("id", id)) => self.last = Some(id.trim_start().to_owned()),
                Some(("data", text)) => data = serde_json::from_str(text.trim_start()).ok(),
                None if line.is_empty() => {
                    if let Some(exchange) = data.take()
                        && exchanges.blocking_send(Ok(exchange)).is_err()
                    {
                        return false;
                    }
                }
                _ => {}
            }
        }
        !exchanges.is_closed()
    }
}
