//! Where a command reads records: the database itself, or a collector over HTTP. What they answer is the same.

use super::bodies::BodiesArguments;
use super::client::Client;
use super::{Failure, database};
use crate::server::now;
use crate::store::access::AccessLog;
use crate::store::filter::Filter;
use crate::store::model::{ExchangeDetail, ExchangeList, RecorderSummary, SessionDetail, SessionList};
use crate::store::{Database, Reader};
use chaperone_record::Timestamp;
use clap::Args;
use std::path::PathBuf;

/// Most rows that a collector gives at a time.
const PAGE: u32 = 1000;

/// Where to read.
#[derive(Args)]
pub(super) struct SourceArguments {
    /// The collector to read from, like https://collector.example.com; its token is read from --token-file or the
    /// environment's CHAPERONE_TOKEN. Without one, the database is read.
    #[arg(long, value_name = "URL", env = "CHAPERONE_SERVER")]
    pub(super) server: Option<String>,
    /// The file that holds the token for the collector.
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// Certificates of those who may vouch for the collector's, as PEM. Default: the system's.
    #[arg(long, value_name = "FILE")]
    pub(super) ca_file: Option<PathBuf>,
    /// The collector's database: a file, sqlite://FILE or postgres://USER@HOST/NAME. It may be in use by running collectors.
    #[arg(long, short, env = "CHAPERONE_DATABASE", hide_env_values = true, default_value = "chaperone.db", value_parser = database)]
    pub(super) database: Database,
    #[command(flatten)]
    pub(super) bodies: BodiesArguments,
}

/// What answers.
pub(super) enum Source {
    /// A database, as it changes.
    Database(Reader),
    /// A collector.
    Server(Client),
}

impl SourceArguments {
    pub(super) async fn open(&self) -> Result<Source, Failure> {
        Ok(match self.client()? {
            Some(client) => Source::Server(client),
            None => Source::Database(Reader::open(&self.database).await?.with_bodies(self.bodies.open()?)),
        })
    }

    /// The collector, where one is named.
    pub(super) fn client(&self) -> Result<Option<Client>, Failure> {
        let Some(url) = &self.server else { return Ok(None) };
        Ok(Some(Client::new(url, self.token_file.as_deref(), self.ca_file.as_deref())?))
    }
}

impl Source {
    pub(super) async fn sessions(&self, filter: &Filter, limit: u32) -> Result<SessionList, Failure> {
        let client = match self {
            Self::Database(reader) => return Ok(reader.sessions(filter, limit, None).await?),
            Self::Server(client) => client,
        };
        let mut all = SessionList { sessions: Vec::new(), next: None };
        loop {
            let page = Page { limit: limit - all.sessions.len() as u32, after: all.next.as_deref() };
            let list: SessionList = client.get(&["v1", "sessions"], &query(filter, &page))?;
            all.sessions.extend(list.sessions);
            all.next = list.next;
            if all.next.is_none() || all.sessions.len() >= limit as usize {
                return Ok(all);
            }
        }
    }

    pub(super) async fn exchanges(&self, filter: &Filter, limit: u32) -> Result<ExchangeList, Failure> {
        let client = match self {
            Self::Database(reader) => return Ok(reader.exchanges(filter, limit, None).await?),
            Self::Server(client) => client,
        };
        let mut all = ExchangeList { exchanges: Vec::new(), next: None };
        loop {
            let page = Page { limit: limit - all.exchanges.len() as u32, after: all.next.as_deref() };
            let list: ExchangeList = client.get(&["v1", "exchanges"], &query(filter, &page))?;
            all.exchanges.extend(list.exchanges);
            all.next = list.next;
            if all.next.is_none() || all.exchanges.len() >= limit as usize {
                return Ok(all);
            }
        }
    }

    pub(super) async fn session_detail(
        &self,
        session: &str,
        limit: u32,
        after: Option<&str>,
    ) -> Result<SessionDetail, Failure> {
        let missing = || Failure::Missing { what: "session", id: session.to_owned() };
        match self {
            Self::Database(reader) => reader.session_detail(session, limit, after).await?.ok_or_else(missing),
            Self::Server(client) => {
                let page = Page { limit, after };
                client
                    .find(&["v1", "sessions", session], &query(&Filter::default(), &page))?
                    .ok_or_else(missing)
            }
        }
    }

    pub(super) async fn exchange(&self, exchange: &str) -> Result<Option<ExchangeDetail>, Failure> {
        match self {
            Self::Database(reader) => Ok(reader.exchange(exchange).await?),
            Self::Server(client) => client.find(&["v1", "exchanges", exchange], &[]),
        }
    }

    pub(super) async fn recorders(&self) -> Result<Vec<RecorderSummary>, Failure> {
        match self {
            Self::Database(reader) => Ok(reader.recorders(now()).await?),
            Self::Server(client) => client.get(&["v1", "recorders"], &[]),
        }
    }

    pub(super) async fn access_log(
        &self,
        since: Option<Timestamp>,
        limit: u32,
    ) -> Result<AccessLog, Failure> {
        let client = match self {
            Self::Database(reader) => return Ok(reader.access_log(since, limit, None).await?),
            Self::Server(client) => client,
        };
        let filter = Filter { since, ..Filter::default() };
        let mut all = AccessLog { accesses: Vec::new(), next: None };
        loop {
            let page = Page { limit: limit - all.accesses.len() as u32, after: all.next.as_deref() };
            let log: AccessLog = client.get(&["v1", "access-log"], &query(&filter, &page))?;
            all.accesses.extend(log.accesses);
            all.next = log.next;
            if all.next.is_none() || all.accesses.len() >= limit as usize {
                return Ok(all);
            }
        }
    }
}

struct Page<'a> {
    limit: u32,
    after: Option<&'a str>,
}

fn query(filter: &Filter, page: &Page<'_>) -> Vec<(&'static str, String)> {
    let mut query = filter.parameters();
    query.push(("limit", page.limit.clamp(1, PAGE).to_string()));
    query.extend(page.after.map(|after| ("after", after.to_owned())));
    query
}
