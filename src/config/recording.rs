//! `recording`: what is written down, how surely, and where it goes. Rules follow the audit `Policy`
//! (audit.k8s.io/v1).

use super::credential::FromEnv;
use super::duration;
use super::spec::{FROM_ENV, Field, Shape, TEXT, TEXTS, optional, required};
use serde::Deserialize;
use std::time::Duration;

const RULE: Shape = Shape::Object(&[
    required(
        "level",
        &Shape::OneOf(&["Metadata", "Request", "RequestResponse"]),
        "How much is written down: no bodies, the request's, or both.",
    ),
    optional(
        "delivery",
        &Shape::OneOf(&["Buffered", "Confirmed"]),
        "\"Buffered\"",
        "Confirmed: nothing goes upstream before the collector holds the record.",
    ),
    optional("users", &TEXTS, "all", "Usernames."),
    optional("userGroups", &TEXTS, "all", "Groups; one suffices."),
    optional("verbs", &TEXTS, "all", "Kubernetes verbs, or `*`."),
    optional(
        "resources",
        &Shape::List(
            &Shape::Object(&[
                optional("group", &TEXT, "\"\"", "API group."),
                optional("resources", &TEXTS, "all", "`pods`, `pods/exec`, `pods/*`, `*`."),
                optional("resourceNames", &TEXTS, "all", "Object names."),
            ]),
            100,
        ),
        "all",
        "Which resources.",
    ),
    optional("namespaces", &TEXTS, "all", "Namespaces; `\"\"` for what has none."),
    optional("nonResourceURLs", &TEXTS, "[]", "Paths, with an optional trailing `*`."),
]);

const MIB: u64 = 1 << 20;

pub(super) const FIELDS: &[Field] = &[
    required(
        "collector",
        &Shape::Object(&[
            required("cluster", &TEXT, "Envoy cluster of the collector."),
            optional("authority", &TEXT, "the cluster's name", "Its `:authority`."),
            optional("path", &TEXT, "\"/v1/records\"", "Where batches are posted."),
            optional("timeout", &Shape::Duration(10, 60_000), "\"2s\"", "For one post."),
            required("token", &FROM_ENV, "The ingest token."),
        ]),
        "Where records go.",
    ),
    required("signingKey", &FROM_ENV, "Ed25519 private key: PKCS#8 PEM, or its DER in base64."),
    optional(
        "onFull",
        &Shape::OneOf(&["refuse", "gap"]),
        "\"refuse\"",
        "What happens while the outbox is full: new exchanges are refused (503), or go on without a record and a `gap` entry counts them. Confirmed ones are refused either way.",
    ),
    optional("rules", &Shape::List(&RULE, 1000), "see the examples", "The first that matches decides."),
    optional(
        "limits",
        &Shape::Object(&[
            optional(
                "maxBodyBytes",
                &Shape::Integer(0, 64 * MIB),
                "4194304",
                "Of each body so much is written down; digest and length cover all of it.",
            ),
            optional(
                "outboxBytes",
                &Shape::Integer(MIB, 512 * MIB),
                "16777216",
                "Unacknowledged records kept per worker.",
            ),
            optional(
                "batchBytes",
                &Shape::Integer(1024, 4 * MIB),
                "262144",
                "A batch is posted when it reaches this size.",
            ),
            optional(
                "flushInterval",
                &Shape::Duration(10, 10_000),
                "\"200ms\"",
                "A batch is posted when its first entry is this old.",
            ),
            optional(
                "streamGrace",
                &Shape::Duration(1000, 600_000),
                "\"10s\"",
                "An exec, attach or port-forward is cut when more of it flows while the collector has not acknowledged what is this old of it.",
            ),
        ]),
        "",
        "Bounds on what recording may hold and send.",
    ),
];

/// What is written down, and where it goes.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recording {
    /// Where records go.
    pub collector: Collector,
    /// Signs every batch.
    pub signing_key: FromEnv,
    /// What happens while the outbox is full.
    #[serde(default)]
    pub on_full: OnFull,
    /// The first that matches decides.
    #[serde(default = "default_rules")]
    pub rules: Vec<RecordingRule>,
    /// Bounds.
    #[serde(default)]
    pub limits: Limits,
}

/// See [`Recording::on_full`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFull {
    /// New exchanges get 503.
    #[default]
    Refuse,
    /// They go on, and a `gap` entry says how many entries were lost.
    Gap,
}

/// Where records go.
#[derive(Clone, Debug, Deserialize)]
pub struct Collector {
    /// Envoy cluster.
    pub cluster: String,
    /// `:authority`; the cluster's name where empty.
    #[serde(default)]
    pub authority: String,
    /// Where batches are posted.
    #[serde(default = "default_path")]
    pub path: String,
    /// For one post.
    #[serde(default = "default_timeout", deserialize_with = "duration::deserialize")]
    pub timeout: Duration,
    /// The ingest token.
    pub token: FromEnv,
}

fn default_path() -> String {
    "/v1/records".to_owned()
}

fn default_timeout() -> Duration {
    Duration::from_secs(2)
}

/// How much of an exchange is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Level {
    /// No bodies.
    Metadata,
    /// The request's body.
    Request,
    /// Both bodies.
    RequestResponse,
}

/// How surely it is written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Delivery {
    /// Queued, batched, posted soon.
    #[default]
    Buffered,
    /// Acknowledged by the collector before anything goes upstream.
    Confirmed,
}

/// One rule; an absent condition matches everything.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordingRule {
    /// How much.
    pub level: Level,
    /// How surely.
    #[serde(default)]
    pub delivery: Delivery,
    /// Usernames.
    #[serde(default)]
    pub users: Vec<String>,
    /// Groups.
    #[serde(default)]
    pub user_groups: Vec<String>,
    /// Verbs.
    #[serde(default)]
    pub verbs: Vec<String>,
    /// Resources.
    #[serde(default)]
    pub resources: Vec<GroupResources>,
    /// Namespaces.
    #[serde(default)]
    pub namespaces: Vec<String>,
    /// Paths.
    #[serde(default, rename = "nonResourceURLs")]
    pub non_resource_urls: Vec<String>,
}

impl RecordingRule {
    fn all(level: Level, delivery: Delivery) -> Self {
        Self {
            level,
            delivery,
            users: Vec::new(),
            user_groups: Vec::new(),
            verbs: Vec::new(),
            resources: Vec::new(),
            namespaces: Vec::new(),
            non_resource_urls: Vec::new(),
        }
    }
}

/// Resources of one group.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
pub struct GroupResources {
    /// API group.
    pub group: String,
    /// Resources, with subresources as `pods/exec`.
    pub resources: Vec<String>,
    /// Names.
    pub resource_names: Vec<String>,
}

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn default_rules() -> Vec<RecordingRule> {
    let urls = ["/healthz*", "/livez*", "/readyz*", "/version", "/openapi/*", "/api*", "/apis*"];
    let writes = ["create", "update", "patch", "delete", "deletecollection"];
    let guarded = ["secrets", "pods/exec", "pods/attach", "pods/portforward"];
    vec![
        RecordingRule {
            non_resource_urls: texts(&urls),
            ..RecordingRule::all(Level::Metadata, Delivery::Buffered)
        },
        RecordingRule {
            verbs: texts(&writes),
            ..RecordingRule::all(Level::RequestResponse, Delivery::Confirmed)
        },
        RecordingRule {
            resources: vec![GroupResources { resources: texts(&guarded), ..GroupResources::default() }],
            ..RecordingRule::all(Level::RequestResponse, Delivery::Confirmed)
        },
        RecordingRule::all(Level::RequestResponse, Delivery::Buffered),
    ]
}

/// Bounds on what recording may hold and send; see the table in `docs/configuration.md`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Limits {
    /// Bytes of each body that are written down.
    pub max_body_bytes: usize,
    /// Bytes of unacknowledged records per worker.
    pub outbox_bytes: usize,
    /// Bytes at which a batch is posted.
    pub batch_bytes: usize,
    /// Age at which a batch is posted.
    #[serde(deserialize_with = "duration::deserialize")]
    pub flush_interval: Duration,
    /// Age of what is not acknowledged of a stream at which it is cut.
    #[serde(deserialize_with = "duration::deserialize")]
    pub stream_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 4 << 20,
            outbox_bytes: 16 << 20,
            batch_bytes: 256 << 10,
            flush_interval: Duration::from_millis(200),
            stream_grace: Duration::from_secs(10),
        }
    }
}
