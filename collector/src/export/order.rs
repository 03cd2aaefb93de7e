//! What somebody wants exported: the same over HTTP and on the command line.

use super::{ExportError, Format, Selection};
use crate::evidence::bundle;
use crate::evidence::scope::Scope;
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
}

/// What to export, and as what.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// As what.
    pub form: Form,
    /// Which exchanges.
    pub filter: Filter,
}

/// An order that cannot be meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a bundle holds whole batches: it is of one session, or of a time, or of everything")]
pub struct Unordered;

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
        }
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Har => "application/json",
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
        }
    }
}

impl Order {
    /// Refuses what no bundle can be of.
    pub fn check(&self) -> Result<(), Unordered> {
        if self.form != Form::Bundle {
            return Ok(());
        }
        let Filter { since, until, session, .. } = self.filter.clone();
        let timed = since.is_some() || until.is_some();
        let plain = Filter { since, until, session: session.clone(), ..Filter::default() };
        if plain == self.filter && !(timed && session.is_some()) { Ok(()) } else { Err(Unordered) }
    }

    /// Whether there is the session that is asked for, where one is.
    pub async fn is_there(&self, reader: &Reader) -> Result<bool, StoreError> {
        match &self.filter.session {
            Some(session) => Ok(reader.session(session).await?.is_some()),
            None => Ok(true),
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
