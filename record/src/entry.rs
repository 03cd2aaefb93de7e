use crate::{
    Attribution, BodyDigest, Connection, StreamEnd, StreamOptions, Timestamp, UpstreamCredential, User,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One thing that happened. `type` on the wire is the variant's name in lower case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Entry<B = Value> {
    /// A recorder began its chain: first in batch 0.
    Open(Open),
    /// What arrived and what was decided, written before it is forwarded. With a body that is confirmed on its own,
    /// a second `request` entry of the same exchange follows, which carries the body and its digest.
    Request(Box<Request<B>>),
    /// What came back, as the agent got it.
    Response(Box<Response<B>>),
    /// Request and response in one.
    Exchange(Box<Exchange<B>>),
    /// A piece of a long body, watch, log or exec.
    Stream(Stream<B>),
    /// The outcome of an exchange that streamed, or that ended otherwise than by a whole response.
    End(End),
    /// What was lost, how much, and why.
    Gap(Gap),
}

impl<B> Entry<B> {
    /// The exchange the entry belongs to; none for `open` and `gap`.
    pub fn exchange(&self) -> Option<&str> {
        match self {
            Self::Open(_) | Self::Gap(_) => None,
            Self::Request(entry) => Some(&entry.exchange),
            Self::Response(entry) => Some(&entry.exchange),
            Self::Exchange(entry) => Some(&entry.exchange),
            Self::Stream(entry) => Some(&entry.exchange),
            Self::End(entry) => Some(&entry.exchange),
        }
    }
}

/// The filter that writes a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FilterBuild {
    /// The filter's version, as in its Cargo manifest.
    pub version: String,
    /// The commit it was built from, or `unknown`.
    pub build: String,
}

/// See [`Entry::Open`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Open {
    /// When the chain began.
    pub time: Timestamp,
    /// Which filter writes it.
    pub filter: FilterBuild,
    /// SHA-256 of the plugin configuration's bytes, lower-case hex.
    pub config_digest: String,
    /// The proxy's node id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// Names the worker VM within the proxy: its root context's id and start time, for people; not an identifier.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub worker: String,
}

/// See [`Entry::Request`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<B = Value> {
    /// UUIDv7; also the `Audit-ID` sent upstream and returned to the agent.
    pub exchange: String,
    /// The session's id: see `docs/records.md`. Empty where no session could be told.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub session: String,
    /// What was asked, by whom, and what was decided; absent in the second entry, which only adds the body.
    #[serde(flatten, default = "none", skip_serializing_if = "Option::is_none")]
    pub requested: Option<Requested>,
    /// The request's body.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub request_object: Option<B>,
    /// Digest and length of the whole request body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_digest: Option<BodyDigest>,
    /// The moments known so far.
    #[serde(default)]
    pub timing: Timing,
}

fn none<T>() -> Option<T> {
    None
}

/// The request's head: shared by `request` and `exchange` entries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Requested {
    /// Who asked; absent where the token was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// On whose behalf, as far as the sources tell.
    #[serde(default)]
    pub attribution: Attribution,
    /// HTTP method.
    pub method: String,
    /// Path and query as they arrived, credentials in the query removed.
    #[serde(rename = "requestURI")]
    pub request_uri: String,
    /// Kubernetes verb (`get`, `list`, `watch`, `create`, …); for other paths the lower-case method.
    pub verb: String,
    /// The object, for resource requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_ref: Option<ObjectRef>,
    /// What a stream was asked to be, for exec, attach and port-forward.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_options: Option<StreamOptions>,
    /// The client's address first, then trusted hops.
    #[serde(default, rename = "sourceIPs", skip_serializing_if = "Vec::is_empty")]
    pub source_ips: Vec<String>,
    /// `User-Agent` as sent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user_agent: String,
    /// What the filter decided.
    pub decision: Decision,
    /// What it went upstream as, where that was minted for the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<UpstreamCredential>,
}

/// The object a request is about: the audit `ObjectReference`'s fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// Empty for the core group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub api_group: String,
    /// Version without the group, `v1`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub api_version: String,
    /// Plural, lower case: `secrets`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub resource: String,
    /// `exec`, `log`, `status`, …
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subresource: String,
    /// Empty for cluster-scoped objects and lists over all namespaces.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Empty for lists and creates.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// What the filter decided about a request, and what decided it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Decision {
    /// Whether the request may go upstream.
    pub allowed: bool,
    /// What decided: `access.default`, `access.rules[3]`, `guard:token-request`, `authentication`, …
    pub rule: String,
    /// The refusal as the agent reads it; empty where allowed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// See [`Entry::Response`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Response<B = Value> {
    /// The exchange's id.
    pub exchange: String,
    /// The session's id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub session: String,
    /// What came back.
    #[serde(flatten)]
    pub responded: Responded<B>,
    /// All the exchange's moments.
    #[serde(default)]
    pub timing: Timing,
}

/// The response: shared by `response` and `exchange` entries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Responded<B = Value> {
    /// The response's status.
    pub response_status: ResponseStatus,
    /// The body as the agent got it: masked. Absent at level Metadata, for empty bodies, and where `stream` entries
    /// carry it.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub response_object: Option<B>,
    /// Digest and length of the whole body as the agent got it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_digest: Option<BodyDigest>,
    /// Which values were masked, by path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub masked: Vec<Masked>,
    /// The masked originals, sealed to the auditor's key; see `masking.sealTo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it ended so, where that is not plain: the reset's or refusal's reason.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// The response's status: the audit `Event.responseStatus`' fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResponseStatus {
    /// HTTP status code as the agent got it; 0 where it got none.
    pub code: u16,
    /// `metav1.Status.reason` of a refusal by the filter, such as `Forbidden`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// `metav1.Status.message` of a refusal by the filter.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Values masked at one path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Masked {
    /// Where, in JSONPath: `$.data.password`, `$.items[*].data.password`.
    pub path: String,
    /// How many values there.
    pub count: u64,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// The whole response reached the agent.
    Complete,
    /// The filter answered instead of the API server; nothing went upstream.
    Refused,
    /// The proxy answered instead of the API server (no connection, time-out).
    ProxyReply,
    /// The filter cut the response because it could not be masked or recorded.
    Cut,
    /// The agent or the API server ended the stream before the response was whole.
    Aborted,
}

/// See [`Entry::Exchange`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exchange<B = Value> {
    /// UUIDv7; also the `Audit-ID` sent upstream and returned to the agent.
    pub exchange: String,
    /// The session's id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub session: String,
    /// What was asked, by whom, and what was decided.
    #[serde(flatten)]
    pub requested: Requested,
    /// The request's body.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub request_object: Option<B>,
    /// Digest and length of the whole request body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_digest: Option<BodyDigest>,
    /// What came back.
    #[serde(flatten)]
    pub responded: Responded<B>,
    /// All the exchange's moments.
    #[serde(default)]
    pub timing: Timing,
}

/// Which way and in which channel a [`Stream`] piece went.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// The request's body.
    Request,
    /// The response's body: a watch, a log, a long list.
    Response,
    /// exec and attach: what the agent typed.
    Stdin,
    /// exec and attach: what the process printed.
    Stdout,
    /// exec and attach: what it printed as errors.
    Stderr,
    /// exec and attach: the closing `metav1.Status`. port-forward: why a connection failed.
    Error,
    /// exec and attach: terminal sizes.
    Resize,
    /// port-forward: what the agent sent to the port.
    Sent,
    /// port-forward: what came back.
    Received,
}

/// See [`Entry::Stream`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stream<B = Value> {
    /// The exchange's id.
    pub exchange: String,
    /// The session's id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub session: String,
    /// Which way it went.
    pub channel: Channel,
    /// Microseconds since `timing.received`.
    pub offset: u64,
    /// Position of the piece's first byte in its channel.
    pub position: u64,
    /// The piece: a string where it is UTF-8 (`encoding` absent), otherwise base64.
    pub data: B,
    /// `base64`, or absent for UTF-8 text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// port-forward: which of its connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<Connection>,
    /// The side that writes to the channel sends no more: digest and length of all it sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<BodyDigest>,
}

/// See [`Entry::End`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct End {
    /// The exchange's id.
    pub exchange: String,
    /// The session's id.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub session: String,
    /// What came back, as far as it came; `responseObject` is absent.
    #[serde(flatten)]
    pub responded: Responded<Value>,
    /// exec, attach and port-forward: what each channel carried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<Box<StreamEnd>>,
    /// All the exchange's moments.
    #[serde(default)]
    pub timing: Timing,
}

/// See [`Entry::Gap`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    /// When the gap was closed.
    pub time: Timestamp,
    /// How many entries were dropped.
    pub entries: u64,
    /// How many bytes they would have had.
    pub bytes: u64,
    /// Why, as a short stable code: `outboxFull`, …
    pub reason: String,
}

/// An exchange's moments; absent where it did not get so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Timing {
    /// The request's headers reached the filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<Timestamp>,
    /// The request was released upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forwarded: Option<Timestamp>,
    /// The response's headers came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte: Option<Timestamp>,
    /// The exchange was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complete: Option<Timestamp>,
}
