//! What reading returns: the shapes of the read API's JSON and of the command line's `-o json`.

use chaperone_record::{
    Attributed, BodyDigest, Gap, Masked, Open, Outcome, Requested, ResponseStatus, Timestamp, Timing,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// One request and its response, merged from all entries that arrived, without bodies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExchangeSummary {
    /// The exchange's id, also the `Audit-ID` the API server logged.
    pub exchange: String,
    /// The session it belongs to; none until an entry says whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The chain its entries stand in.
    pub recorder: String,
    /// When it began, as far as is known: the earliest moment in `timing`, else when the batch arrived.
    pub time: Timestamp,
    /// How it stands.
    pub state: State,
    /// What was asked, by whom, and what was decided; absent where the `request` entry is missing.
    #[serde(flatten)]
    pub requested: Option<Requested>,
    /// The name in the request's body, where the request's path has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_name: Option<String>,
    /// The request's whole body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_digest: Option<BodyDigest>,
    /// The status the agent got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_status: Option<ResponseStatus>,
    /// The response's whole body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_digest: Option<BodyDigest>,
    /// What was masked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masked: Vec<Masked>,
    /// True where the masked originals are kept, sealed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sealed: bool,
    /// How it ended, as the closing entry tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// Why it ended as it did, where that is not plain.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The exchange's moments.
    #[serde(default)]
    pub timing: Timing,
    /// Whether it waited for its record to be durable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Delivery>,
    /// How many pieces of long bodies or streams were recorded.
    #[serde(default)]
    pub stream_pieces: u64,
    /// True where every entry's batch carries a signature that was checked on arrival.
    pub verified: bool,
    /// Which entry told the response: a later kind replaces what an earlier kind told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_by: Option<Closing>,
}

/// How an exchange stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// The whole response reached the agent.
    Complete,
    /// The filter answered instead of the API server.
    Refused,
    /// The proxy answered instead of the API server.
    ProxyReply,
    /// The filter cut the response.
    Cut,
    /// The agent or the API server ended it early.
    Aborted,
    /// Its end, or its beginning, is not in the records (yet).
    Incomplete,
}

impl State {
    /// The word that stands for it in JSON and in the index.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Refused => "refused",
            Self::ProxyReply => "proxyReply",
            Self::Cut => "cut",
            Self::Aborted => "aborted",
            Self::Incomplete => "incomplete",
        }
    }
}

impl From<Outcome> for State {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Complete => Self::Complete,
            Outcome::Refused => Self::Refused,
            Outcome::ProxyReply => Self::ProxyReply,
            Outcome::Cut => Self::Cut,
            Outcome::Aborted => Self::Aborted,
        }
    }
}

/// Whether an exchange waited for its record, as its entries tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Delivery {
    /// One `exchange` entry, written when it was over.
    Buffered,
    /// A `request` entry was written ahead of it.
    Confirmed,
}

/// The entries that tell a response, from the least to the most final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum Closing {
    /// A `response` entry.
    Response,
    /// An `end` entry.
    End,
    /// An `exchange` entry.
    Exchange,
}

/// An exchange with its entries, in chain order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExchangeDetail {
    /// The merged view.
    #[serde(flatten)]
    pub summary: ExchangeSummary,
    /// The entries as recorded, with bodies.
    pub entries: Vec<RecordedEntry>,
}

/// An entry and where it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordedEntry {
    /// Its chain.
    pub recorder: String,
    /// Its batch.
    pub batch: i64,
    /// Its place in the batch, from 0.
    pub position: i64,
    /// The key its batch was verified with on arrival.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// The entry.
    #[schema(value_type = Object)]
    pub entry: Value,
}

/// A session in numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionSummary {
    /// Its id.
    pub session: String,
    /// True where the id was made here, from the user and gaps under 30 minutes.
    pub derived: bool,
    /// Its first request, microseconds since 1970.
    #[serde(with = "micros")]
    #[schema(value_type = Timestamp)]
    pub started: i64,
    /// The last moment known of it, microseconds since 1970.
    #[serde(with = "micros")]
    #[schema(value_type = Timestamp)]
    pub ended: i64,
    /// Who acted in it. More than one where a session id that is not from the token was shared.
    pub users: Vec<SessionUser>,
    /// The agent programs.
    pub agents: Vec<Attributed>,
    /// The models.
    pub models: Vec<Attributed>,
    /// The prompts, in order of appearance.
    pub prompts: Vec<Attributed>,
    /// How many requests.
    pub requests: i64,
    /// Allowed requests that change something.
    pub writes: i64,
    /// Requests the filter refused.
    pub refused: i64,
    /// Requests that went upstream and were answered with 400 or above, or not at all.
    pub failed: i64,
    /// Exchanges whose end or beginning is not in the records.
    pub incomplete: i64,
    /// Exchanges of which no signature was checked on arrival.
    pub unverified: i64,
    /// Values masked.
    pub masked: i64,
}

/// A user as a session shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionUser {
    /// The mapped username; empty for requests without a valid token.
    pub username: String,
    /// The mapped groups.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The token's issuer.
    #[serde(default)]
    pub issuer: String,
}

/// A session with a page of its exchanges, in order of time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionDetail {
    /// The session.
    #[serde(flatten)]
    pub summary: SessionSummary,
    /// Its exchanges.
    pub exchanges: Vec<ExchangeSummary>,
    /// What its recorders admit to have lost while it ran.
    pub gaps: Vec<RecordedGap>,
    /// Where the next page begins; none on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A page of sessions, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionList {
    /// The sessions.
    pub sessions: Vec<SessionSummary>,
    /// Where the next page begins; none on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A page of exchanges, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExchangeList {
    /// The exchanges.
    pub exchanges: Vec<ExchangeSummary>,
    /// Where the next page begins; none on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A `gap` entry and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecordedGap {
    /// The chain it stands in.
    pub recorder: String,
    /// The batch it stands in.
    pub batch: i64,
    /// What was lost.
    #[serde(flatten)]
    pub gap: Gap,
}

/// A chain in numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecorderSummary {
    /// The worker VM's chain.
    pub recorder: String,
    /// Whether it was heard of lately.
    pub state: RecorderState,
    /// The lowest batch that arrived.
    pub first_batch: i64,
    /// The highest batch that arrived.
    pub last_batch: i64,
    /// How many arrived.
    pub batches: i64,
    /// How many below the highest did not.
    pub missing: i64,
    /// How many entries they hold.
    pub entries: i64,
    /// Exchanges of it whose end or beginning is not in the records.
    pub incomplete: i64,
    /// How often it admits to have lost entries.
    pub gaps: i64,
    /// How often other bytes came under a number that was taken.
    pub forks: i64,
    /// When the first to arrive came, microseconds since 1970.
    #[serde(with = "micros")]
    #[schema(value_type = Timestamp)]
    pub first_received: i64,
    /// When the last to arrive came, microseconds since 1970.
    #[serde(with = "micros")]
    #[schema(value_type = Timestamp)]
    pub last_received: i64,
    /// Its `open` entry, once batch 0 arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<Open>,
}

/// Whether a recorder was heard of lately. A worker's end cannot be told from having nothing to record: a proxy that
/// is killed says no farewell, so none is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum RecorderState {
    /// A batch came within the last ten minutes.
    Open,
    /// None did: it has ended, or there is nothing to record.
    Silent,
}

impl RecorderState {
    /// How long without a batch counts as silence: 10 minutes, in microseconds.
    const SILENCE: u64 = 10 * 60 * 1_000_000;

    pub(crate) fn of(last_received: i64, now: Timestamp) -> Self {
        let last = u64::try_from(last_received).unwrap_or(0);
        if now.micros().saturating_sub(last) > Self::SILENCE { Self::Silent } else { Self::Open }
    }
}

/// Microseconds since 1970 that are shown as RFC 3339.
mod micros {
    use chaperone_record::Timestamp;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(super) fn serialize<S: Serializer>(micros: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        Timestamp::from_micros(u64::try_from(*micros).unwrap_or(0)).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        Ok(i64::try_from(Timestamp::deserialize(deserializer)?.micros()).unwrap_or(i64::MAX))
    }
}
