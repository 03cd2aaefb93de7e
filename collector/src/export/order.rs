//! What somebody wants exported: the same over HTTP and on the command line.

use super::{ExportError, Format, PAGE, Selection, asciicast};
use crate::evidence::bundle;
use crate::evidence::scope::Scope;
use crate::present::terminal::Recording;
use crate::store::filter::Filter;
use crate::store::{Reader, StoreError};
use chaperone_record::Timestamp;
use clap::ValueEnum;
use std::io::Write;
use utoipa::ToSchema;

/// What an export is written as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, ToSchema)]
#[schema(rename_all = "camelCase")]
pub enum Form {
    /// Whole batches, as they came: what `verify` checks.
    #[default]
    Bundle,
    /// HTTP Archive, for browsers' developer tools.
    Har,
    /// OCSF API Activity (6003), one event a line.
    Ocsf,
    /// CloudEvents, one a line.
    Cloudevents,
    /// One exec or attach as an asciicast v3, for asciinema's player.
    Asciicast,
}

/// What to export, and as what.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// As what.
    pub form: Form,
    /// Which exchanges.
    pub filter: Filter,
    /// The one exchange an asciicast is of; it may be left out where its session has no other exec or attach.
    pub exchange: Option<String>,
}

/// An order that cannot be meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unordered {
    /// A bundle of parts of batches.
    #[error("a bundle holds whole batches: it is of one session, or of a time, or of everything")]
    Bundle,
    /// An asciicast of nothing, or of a choice.
    #[error("an asciicast is of one exec or attach: name its exchange, or a session that has only one")]
    Asciicast,
    /// One exchange as something else.
    #[error("an exchange is named only for an asciicast")]
    Exchange,
}

/// What was exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exported {
    /// So many batches of so many recorders.
    Batches(u64, usize),
    /// So many exchanges.
    Exchanges(u64),
}

impl Form {
    /// The word that stands for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bundle => "bundle",
            Self::Har => "har",
            Self::Ocsf => "ocsf",
            Self::Cloudevents => "cloudevents",
            Self::Asciicast => "asciicast",
        }
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Har => "application/json",
            Self::Asciicast => "application/x-asciicast",
            Self::Bundle | Self::Ocsf | Self::Cloudevents => "application/x-ndjson",
        }
    }

    /// What a file of it is called.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Bundle => "chaperone.jsonl",
            Self::Har => "chaperone.har",
            Self::Ocsf => "chaperone-ocsf.jsonl",
            Self::Cloudevents => "chaperone-cloudevents.jsonl",
            Self::Asciicast => "chaperone.cast",
        }
    }
}

impl Order {
    /// Refuses what no export can be of.
    pub fn check(&self) -> Result<(), Unordered> {
        if self.form == Form::Asciicast {
            let Self { filter: Filter { session, .. }, exchange, .. } = self;
            let plain = Filter { session: session.clone(), ..Filter::default() };
            let named = session.is_some() || exchange.is_some();
            return if named && plain == self.filter { Ok(()) } else { Err(Unordered::Asciicast) };
        }
        if self.exchange.is_some() {
            return Err(Unordered::Exchange);
        }
        if self.form != Form::Bundle {
            return Ok(());
        }
        let Filter { since, until, session, .. } = self.filter.clone();
        let timed = since.is_some() || until.is_some();
        let plain = Filter { since, until, session: session.clone(), ..Filter::default() };
        if plain == self.filter && !(timed && session.is_some()) { Ok(()) } else { Err(Unordered::Bundle) }
    }

    /// Whether there is the session, or the exec or attach, that is asked for, where one is.
    pub async fn is_there(&self, reader: &Reader) -> Result<bool, StoreError> {
        if self.form == Form::Asciicast {
            return Ok(self.recording(reader).await?.is_some());
        }
        match &self.filter.session {
            Some(session) => Ok(reader.session(session).await?.is_some()),
            None => Ok(true),
        }
    }

    /// What [`Self::is_there`] found to be missing.
    pub fn missing(&self) -> &'static str {
        match (self.form, &self.exchange) {
            (Form::Asciicast, Some(_)) => "no such recorded exec or attach",
            (Form::Asciicast, None) => "no such session with one recorded exec or attach: name its exchange",
            _ => "no such session",
        }
    }

    /// Writes the export. None where there is no such session.
    pub async fn write(
        &self,
        reader: &Reader,
        now: Timestamp,
        out: impl Write,
    ) -> Result<Option<Exported>, ExportError> {
        let format = match self.form {
            Form::Bundle => {
                let Some(scope) = self.scope(reader, now).await? else { return Ok(None) };
                let (manifest, batches) = bundle::export(reader, scope, now, out).await?;
                return Ok(Some(Exported::Batches(batches, manifest.chains.len())));
            }
            Form::Asciicast => {
                let Some(recording) = self.recording(reader).await? else { return Ok(None) };
                asciicast::write(&recording, out)?;
                return Ok(Some(Exported::Exchanges(1)));
            }
            Form::Har => Format::Har,
            Form::Ocsf => Format::Ocsf,
            Form::Cloudevents => Format::CloudEvents,
        };
        if !self.is_there(reader).await? {
            return Ok(None);
        }
        let Filter { session, .. } = &self.filter;
        let alone = Filter { session: session.clone(), ..Filter::default() } == self.filter;
        let selection = match session {
            Some(session) if alone => Selection::Session(session.clone()),
            _ => Selection::Filter(Box::new(self.filter.clone())),
        };
        Ok(super::export(reader, &selection, format, out).await?.map(Exported::Exchanges))
    }

    /// The one exec or attach that is meant; none where there is none, or more than one.
    async fn recording(&self, reader: &Reader) -> Result<Option<Recording>, StoreError> {
        if let Some(exchange) = &self.exchange {
            let detail = reader.exchange(exchange).await?;
            let session = &self.filter.session;
            let meant = detail.filter(|detail| session.is_none() || detail.summary.session == *session);
            return Ok(meant.as_ref().and_then(Recording::of));
        }
        let (mut found, mut after) = (None, None);
        loop {
            let page = reader.exchanges(&self.filter, PAGE, after.as_deref()).await?;
            for summary in page.exchanges.iter().filter(|summary| summary.stream_pieces > 0) {
                let detail = reader.exchange(&summary.exchange).await?;
                let Some(recording) = detail.as_ref().and_then(Recording::of) else { continue };
                if found.replace(recording).is_some() {
                    return Ok(None);
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(found);
            }
        }
    }

    async fn scope(&self, reader: &Reader, now: Timestamp) -> Result<Option<Scope>, StoreError> {
        let Filter { since, until, session, .. } = &self.filter;
        if let Some(session) = session {
            return reader.session_scope(session).await;
        }
        Ok(Some(match (since, until) {
            (None, None) => Scope::Everything {},
            (since, until) => {
                Scope::Time { since: since.unwrap_or(Timestamp::from_micros(0)), until: until.unwrap_or(now) }
            }
        }))
    }
}
