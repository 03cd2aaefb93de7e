//! What clients ask for.

use clap::ValueEnum;
use hyper::Method;
use hyper::body::Bytes;
use serde_json::{Value, json};
use std::collections::HashMap;

/// Events of one watch.
pub const WATCH_EVENTS: usize = 1000;
/// Where records go that no collector would take: not signed, not chained.
pub const SINK: &str = "/sink";
/// What no agent may see.
pub const SECRET: &str = "bm90LWZvci1hZ2VudHMtbm90LWZvci1hZ2VudHM=";

const MIB: usize = 1 << 20;
const NAMESPACE: &str = "/api/v1/namespaces/default";

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum Work {
    /// A pod of 2 KiB.
    SmallGet,
    /// A Secret of 2 KiB.
    SecretGet,
    /// A list of pods, 1 MiB.
    PodList,
    /// A list of Secrets, 1 MiB.
    SecretList,
    /// A ConfigMap of 1 KiB is made.
    SmallWrite,
    /// A watch of 1,000 pods' events, that then ends.
    Watch,
    /// A pod of 2 KiB, each with a token never seen before.
    NewToken,
}

/// Pods of other sizes, to see what grows with the body.
pub const SIZES: [usize; 4] = [2 << 10, 16 << 10, 128 << 10, 1 << 20];

/// What the API server answers, by path.
pub struct Bodies {
    bodies: HashMap<String, Bytes>,
    /// One watch event.
    pub event: Bytes,
}

impl Work {
    /// All of them, in the order of the tables.
    pub const ALL: [Self; 7] = [
        Self::SmallGet,
        Self::SecretGet,
        Self::PodList,
        Self::SecretList,
        Self::SmallWrite,
        Self::Watch,
        Self::NewToken,
    ];

    /// In a table.
    pub fn title(self) -> &'static str {
        match self {
            Self::SmallGet => "GET of 2 KiB",
            Self::SecretGet => "GET of a Secret",
            Self::PodList => "list of pods, 1 MiB",
            Self::SecretList => "list of Secrets, 1 MiB",
            Self::SmallWrite => "POST of 1 KiB",
            Self::Watch => "watch, 1,000 events",
            Self::NewToken => "GET, new token each",
        }
    }

    /// Requests a second in the open loop: well below what the slowest set-up carries.
    pub fn rate(self) -> f64 {
        match self {
            Self::SmallGet | Self::SecretGet | Self::SmallWrite => 300.0,
            Self::NewToken => 100.0,
            Self::PodList | Self::SecretList | Self::Watch => 8.0,
        }
    }

    /// Method, path and body.
    pub fn request(self) -> (Method, String, Bytes) {
        let path = match self {
            Self::SmallGet | Self::NewToken => format!("{NAMESPACE}/pods/small"),
            Self::SecretGet => format!("{NAMESPACE}/secrets/small"),
            Self::PodList => format!("{NAMESPACE}/pods"),
            Self::SecretList => format!("{NAMESPACE}/secrets"),
            Self::SmallWrite => format!("{NAMESPACE}/configmaps"),
            Self::Watch => format!("{NAMESPACE}/pods?watch=1"),
        };
        match self {
            Self::SmallWrite => (Method::POST, path, config_map()),
            _ => (Method::GET, path, Bytes::new()),
        }
    }

    /// Whether there is something to mask.
    pub fn is_secret(self) -> bool {
        matches!(self, Self::SecretGet | Self::SecretList)
    }
}

/// The path of a pod of about so many bytes.
pub fn pod_path(size: usize) -> String {
    format!("{NAMESPACE}/pods/size-{size}")
}

// === impl Bodies ===

impl Bodies {
    /// All of them.
    pub fn new() -> Self {
        let list = |kind: &str, item: &dyn Fn(usize) -> Value| {
            let items: Vec<Value> = (0..MIB / length(&item(0))).map(item).collect();
            json!({"kind": kind, "apiVersion": "v1", "metadata": {"resourceVersion": "4711"}, "items": items})
        };
        let mut bodies: HashMap<String, Value> = [
            ("pods/small", pod("small", 2 << 10)),
            ("secrets/small", secret("small", 4)),
            ("pods", list("PodList", &|index| item(pod(&format!("pod-{index}"), 2 << 10)))),
            ("secrets", list("SecretList", &|index| item(secret(&format!("secret-{index}"), 4)))),
            ("configmaps", serde_json::from_slice(&config_map()).unwrap_or_default()),
        ]
        .into_iter()
        .map(|(path, body)| (format!("{NAMESPACE}/{path}"), body))
        .collect();
        bodies.extend(SIZES.map(|size| (pod_path(size), pod("sized", size))));
        let bytes = |value: Value| Bytes::from(format!("{value}\n"));
        Self {
            bodies: bodies.into_iter().map(|(path, body)| (path, bytes(body))).collect(),
            event: bytes(json!({"type": "MODIFIED", "object": pod("watched", 1 << 10)})),
        }
    }

    /// The answer for a path.
    pub fn at(&self, path: &str) -> Option<Bytes> {
        self.bodies.get(path).cloned()
    }
}

fn length(value: &Value) -> usize {
    value.to_string().len()
}

/// In a list, objects come without their type.
fn item(mut object: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("kind");
        fields.remove("apiVersion");
    }
    object
}

/// A pod with as many containers, and then as much annotation, as make up this size.
fn pod(name: &str, size: usize) -> Value {
    let container = json!({"name": "app", "image": "registry.example.com/team/app:1.27.3", "ports": [{"containerPort": 8080, "protocol": "TCP"}],
        "env": [{"name": "LOG_LEVEL", "value": "info"}, {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "database", "key": "password"}}}],
        "resources": {"limits": {"cpu": "500m", "memory": "128Mi"}, "requests": {"cpu": "100m", "memory": "64Mi"}},
        "volumeMounts": [{"name": "kube-api-access", "readOnly": true, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
        "terminationMessagePath": "/dev/termination-log", "imagePullPolicy": "IfNotPresent"});
    let mut pod = json!({"kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": name, "namespace": "default", "uid": "5f0c8d0e-9d43-4e2c-8c2e-5a9b3a0f6c1d", "resourceVersion": "812733",
            "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"app": "web", "pod-template-hash": "6d4cf56db6"}, "annotations": {}},
        "spec": {"containers": [], "nodeName": "node-1", "serviceAccountName": "default"},
        "status": {"phase": "Running", "podIP": "10.244.1.17", "qosClass": "Burstable",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
    let containers = size.saturating_sub(length(&pod)) / (length(&container) + 1);
    pod["spec"]["containers"] = json!(vec![container; containers]);
    let missing = size.saturating_sub(length(&pod) + 20);
    pod["metadata"]["annotations"]["note"] = json!("n".repeat(missing));
    pod
}

/// A Secret of 2 KiB, of which most is what Helm and its like put around the values.
fn secret(name: &str, keys: usize) -> Value {
    let values: HashMap<String, &str> = (0..keys).map(|key| (format!("key-{key}"), SECRET)).collect();
    json!({"kind": "Secret", "apiVersion": "v1", "type": "Opaque",
        "metadata": {"name": name, "namespace": "default", "uid": "0c9a4d4e-2f1e-4c55-9d0c-9c1a3d2b7f10", "resourceVersion": "4711",
            "creationTimestamp": "2026-01-01T00:00:00Z", "annotations": {"note": "n".repeat(1500)}},
        "data": values})
}

fn config_map() -> Bytes {
    let data = json!({"settings.yaml": "key: value\n".repeat(70)});
    Bytes::from(
        json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "small", "namespace": "default"}, "data": data})
            .to_string(),
    )
}
