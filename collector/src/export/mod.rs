//! Exchanges in formats that other programs read: what they tell is the merged view, which proves nothing by itself. What
//! proves it is the bundle of [`crate::evidence::bundle`].

pub(crate) mod asciicast;
mod bodies;
pub(crate) mod cloudevents;
mod har;
mod ocsf;
pub mod order;

use crate::evidence::bundle;
use crate::store::filter::Filter;
use crate::store::model::ExchangeDetail;
use crate::store::{Reader, StoreError};
use serde_json::Value;
use std::io::{self, Write};

/// Exchanges read from the database at a time.
const PAGE: u32 = 200;

/// What an exchange is told as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// HTTP Archive 1.2, for browsers' developer tools.
    Har,
    /// OCSF API Activity, one JSON object a line.
    Ocsf,
    /// CloudEvents 1.0 in the JSON format, one a line.
    CloudEvents,
}

/// Which exchanges.
#[derive(Clone, Debug)]
pub enum Selection {
    /// Those of a session, in order.
    Session(String),
    /// Those that the filter takes, the newest first.
    Filter(Box<Filter>),
}

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file.
    #[error(transparent)]
    Write(#[from] io::Error),
    /// The bytes of a batch.
    #[error(transparent)]
    Lost(bundle::ExportError),
}

impl From<bundle::ExportError> for ExportError {
    fn from(error: bundle::ExportError) -> Self {
        match error {
            bundle::ExportError::Store(error) => Self::Store(error),
            bundle::ExportError::Write(error) => Self::Write(error),
            lost @ bundle::ExportError::Lost { .. } => Self::Lost(lost),
        }
    }
}

/// Writes the exchanges; says how many there are. None where there is no such session.
///
/// # Errors
/// The database cannot be read, or the file not written.
pub async fn export(
    reader: &Reader,
    selection: &Selection,
    format: Format,
    mut out: impl Write,
) -> Result<Option<u64>, ExportError> {
    let (mut count, mut after) = (0, None);
    if let Selection::Session(session) = selection
        && reader.session(session).await?.is_none()
    {
        return Ok(None);
    }
    out.write_all(format.before())?;
    loop {
        let (exchanges, next) = match selection {
            Selection::Session(session) => {
                let page = reader.session_detail(session, PAGE, after.as_deref()).await?;
                page.map_or((Vec::new(), None), |page| (page.exchanges, page.next))
            }
            Selection::Filter(filter) => {
                let page = reader.exchanges(filter, PAGE, after.as_deref()).await?;
                (page.exchanges, page.next)
            }
        };
        for summary in exchanges {
            let Some(detail) = reader.exchange(&summary.exchange).await? else { continue };
            if count > 0 {
                out.write_all(format.between())?;
            }
            serde_json::to_writer(&mut out, &format.of(&detail)).map_err(io::Error::from)?;
            count += 1;
        }
        after = next;
        if after.is_none() {
            break;
        }
    }
    out.write_all(format.after(count))?;
    out.flush()?;
    Ok(Some(count))
}

// === impl Format ===

impl Format {
    fn of(self, detail: &ExchangeDetail) -> Value {
        match self {
            Self::Har => har::entry(detail),
            Self::Ocsf => ocsf::event(&detail.summary),
            Self::CloudEvents => cloudevents::event(&detail.summary),
        }
    }

    fn before(self) -> &'static [u8] {
        match self {
            Self::Har => har::BEGINNING.as_bytes(),
            Self::Ocsf | Self::CloudEvents => b"",
        }
    }

    fn between(self) -> &'static [u8] {
        match self {
            Self::Har => b",\n",
            Self::Ocsf | Self::CloudEvents => b"\n",
        }
    }

    fn after(self, count: u64) -> &'static [u8] {
        match self {
            Self::Har => b"]}}\n",
            Self::Ocsf | Self::CloudEvents if count > 0 => b"\n",
            Self::Ocsf | Self::CloudEvents => b"",
        }
    }
}

/// What the user, the session and the rest of the attribution are, for formats without fields of their own for them.
fn told(detail: &crate::store::model::ExchangeSummary) -> Value {
    let requested = detail.requested.as_ref();
    serde_json::json!({
        "exchange": detail.exchange,
        "session": detail.session,
        "recorder": detail.recorder,
        "state": detail.state,
        "verified": detail.verified,
        "user": requested.and_then(|requested| requested.user.as_ref()),
        "attribution": requested.map(|requested| &requested.attribution),
        "objectRef": requested.and_then(|requested| requested.object_ref.as_ref()),
        "verb": requested.map(|requested| &requested.verb),
        "decision": requested.map(|requested| &requested.decision),
        "masked": detail.masked,
    })
}
