//! What a small cluster holds: two applications, their Secrets, and values a test can look for.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::admission::complete;
use super::resource::RESOURCES;
use super::store::{Key, Store, now};

/// The plain values in the seeded Secrets, each nowhere else: none may ever reach an agent or a record.
pub const PLANTED: [&str; 5] = [
    "correct-horse-battery",
    "shop-owner",
    "applied-token-4711",
    "applied-again-0815",
    "not-really-a-private-key",
];

/// What the seeded pod `web` in `shop` logged. It lets a credential slip, as applications do; the key is Amazon's own example.
pub(super) const LOG: &str = "\
2026-01-05T08:00:00Z INFO listening on :8080
2026-01-05T08:00:01Z DEBUG using AWS key AKIAIOSFODNN7EXAMPLE
2026-01-05T08:00:02Z INFO GET /basket 200 12ms
";

/// Puts the seed into an empty store.
pub(super) fn seed(store: &Store) {
    let [password, username, token, again, key] = PLANTED;
    let applied = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"annotations": {}, "name": "applied", "namespace": "shop"},
        "data": {"again": STANDARD.encode(again)}, "stringData": {"token": token},
    });
    for namespace in ["default", "kube-system", "shop", "payments"] {
        add(store, "namespaces", "", namespace, json!({}));
        add(store, "serviceaccounts", namespace, "default", json!({}));
    }
    add(
        store,
        "secrets",
        "shop",
        "db",
        json!({
            "metadata": {"labels": {"app": "db"}}, "type": "Opaque",
            "data": {"password": STANDARD.encode(password), "username": STANDARD.encode(username)},
        }),
    );
    add(
        store,
        "secrets",
        "shop",
        "applied",
        json!({
            "metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": format!("{applied}\n")}},
            "data": applied["data"], "stringData": applied["stringData"],
        }),
    );
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(key));
    add(
        store,
        "secrets",
        "shop",
        "tls",
        json!({
            "type": "kubernetes.io/tls",
            "data": {"tls.crt": STANDARD.encode("-----BEGIN CERTIFICATE-----\n"), "tls.key": STANDARD.encode(pem)},
        }),
    );
    add(store, "configmaps", "shop", "settings", json!({"data": {"currency": "EUR", "page-size": "20"}}));
    add(store, "pods", "shop", "worker", pod("worker", "10.1.0.8"));
    let web = add(store, "pods", "shop", "web", pod("web", "10.1.0.7"));
    add(
        store,
        "events",
        "shop",
        "web.17a0",
        json!({
            "involvedObject": {"kind": "Pod", "namespace": "shop", "name": "web", "apiVersion": "v1", "uid": web["metadata"]["uid"]},
            "reason": "Started", "message": "Started container web", "type": "Normal", "count": 1,
            "firstTimestamp": now(), "lastTimestamp": now(), "source": {"component": "kubelet", "host": "node-1"},
        }),
    );
}

fn pod(name: &str, address: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": name}},
        "spec": {
            "nodeName": "node-1", "serviceAccountName": "default", "restartPolicy": "Always",
            "containers": [{
                "name": name, "image": format!("registry.example.com/shop/{name}:1.4"),
                "env": [{"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}],
            }],
        },
        "status": {
            "phase": "Running", "podIP": address, "hostIP": "192.0.2.10", "startTime": now(), "qosClass": "BestEffort",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{
                "name": name, "ready": true, "restartCount": 0, "image": format!("registry.example.com/shop/{name}:1.4"),
                "imageID": "", "state": {"running": {"startedAt": now()}},
            }],
        },
    })
}

fn add(store: &Store, plural: &str, namespace: &str, name: &str, mut object: Value) -> Value {
    let resource = RESOURCES.iter().find(|resource| resource.plural == plural).expect("a known type");
    object["kind"] = json!(resource.kind);
    object["apiVersion"] = json!(resource.api_version());
    object["metadata"]["name"] = json!(name);
    if resource.namespaced {
        object["metadata"]["namespace"] = json!(namespace);
    }
    complete(resource, &mut object).expect("a sound seed");
    store.create(resource, Key::new(resource, namespace, name), object, false).expect("an empty store")
}
