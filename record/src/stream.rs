use crate::{BodyDigest, Channel};
use serde::{Deserialize, Serialize};

/// What exec, attach or port-forward was asked to be: the fields of `PodExecOptions`, `PodAttachOptions` and
/// `PodPortForwardOptions`.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamOptions {
    /// The container; empty for the pod's default one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub container: String,
    /// The command and its arguments, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Whether stdin was asked for.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stdin: bool,
    /// Whether stdout was asked for.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stdout: bool,
    /// Whether stderr was asked for.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stderr: bool,
    /// Whether a terminal was asked for.
    #[serde(default, skip_serializing_if = "is_false")]
    pub tty: bool,
    /// The ports, where the query names them; else each connection does.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<u16>,
}

/// serde's `skip_serializing_if` asks for a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !*value
}

/// One connection of a port-forward.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Connection {
    /// The client's number of it.
    pub id: u32,
    /// The pod's port.
    pub port: u16,
}

/// How a stream ended.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamEnd {
    /// What was spoken: `v5.channel.k8s.io`, `SPDY/3.1+portforward.k8s.io`, …
    pub subprotocol: String,
    /// The process's exit code, where the closing `Status` tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// What each channel carried. Of a port-forward's connections those that were still open; the others' are in the
    /// `closed` of their last `stream` entries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<ChannelTotal>,
    /// How many connections a port-forward had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u64>,
}

/// What one channel carried.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChannelTotal {
    /// Which.
    pub channel: Channel,
    /// port-forward: of which connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<Connection>,
    /// Digest and length of all of it, as it went on.
    #[serde(flatten)]
    pub digest: BodyDigest,
}
