//! How fast bodies are masked, against parsing them into a tree and writing them again. One case a run, named by the first
//! argument; prints one line of JSON. `mask_throughput.mjs` beside this builds it, natively and as wasm, and runs all.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a measurement, not the filter"
)]

use chaperone_filter::mask::protobuf::{Asked, DEFAULT_LIMIT, Framing, ProtobufMasker};
use chaperone_filter::mask::{JsonMasker, Plan, Replacement, Taken};
use serde_json::{Value, json};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// As much as Envoy hands over at a time.
const CHUNK: usize = 16 << 10;
const MIB: usize = 1 << 20;
/// Runs of one measurement; the median counts.
const RUNS: usize = 9;
/// One run repeats the body for at least that long.
const LEAST: Duration = Duration::from_millis(60);

/// Masks or rebuilds a body; gives the length of what came out.
type Run = fn(&[u8]) -> usize;

fn main() {
    let case = std::env::args().nth(1).unwrap_or_else(|| "pods".to_owned());
    let (body, mask, tree): (Vec<u8>, Run, Option<Run>) = match case.as_str() {
        "secrets" => (list("SecretList", secret, MIB), secrets, Some(secrets_tree)),
        "pods" => (list("PodList", pod, 10 * MIB), pods, Some(through_tree)),
        "watch" => (watch(), watched, Some(watched_tree)),
        "protobuf" => (protobuf(), protobuf_secrets, None),
        other => {
            eprintln!("{other:?} is none of secrets, pods, watch, protobuf");
            std::process::exit(2);
        }
    };
    let before = memory();
    mask(&body);
    let grown = memory() - before;
    let masked = throughput(&body, mask);
    let (before, tree) = (memory(), tree.map(|tree| throughput(&body, tree)));
    println!(
        "{}",
        json!({"case": case, "bytes": body.len(), "masked": masked, "tree": tree, "memory": grown, "treeMemory": memory() - before})
    );
}

/// Megabytes a second: the median of several runs.
fn throughput(body: &[u8], run: Run) -> f64 {
    let mut all: Vec<f64> = (0..RUNS)
        .map(|_| {
            let (start, mut bytes) = (Instant::now(), 0);
            while start.elapsed() < LEAST {
                std::hint::black_box(run(std::hint::black_box(body)));
                bytes += body.len();
            }
            bytes as f64 / 1e6 / start.elapsed().as_secs_f64()
        })
        .collect();
    all.sort_by(f64::total_cmp);
    all[RUNS / 2]
}

/// Bytes of linear memory. It never shrinks, so that its growth is the high-water mark; known for wasm only.
fn memory() -> usize {
    #[cfg(target_arch = "wasm32")]
    return core::arch::wasm32::memory_size(0) * 65536;
    #[cfg(not(target_arch = "wasm32"))]
    0
}

fn json_masked(plan: Plan, body: &[u8]) -> usize {
    let mut masker = JsonMasker::new(plan, Rc::new(Replacement::default()));
    let (mut out, mut length) = (Vec::new(), 0);
    for chunk in body.chunks(CHUNK) {
        out.clear();
        masker.push(chunk, &mut out).expect("the body is masked");
        length += out.len();
    }
    masker.finish(&mut out).expect("the body is whole");
    length
}

fn secrets(body: &[u8]) -> usize {
    json_masked(Plan { taken: Taken::Secrets, watch: false }, body)
}

fn pods(body: &[u8]) -> usize {
    json_masked(Plan { taken: Taken::ByKind, watch: false }, body)
}

fn watched(body: &[u8]) -> usize {
    json_masked(Plan { taken: Taken::Secrets, watch: true }, body)
}

fn protobuf_secrets(body: &[u8]) -> usize {
    let replacement = Rc::new(Replacement::default());
    let mut masker = ProtobufMasker::new(Asked::Secrets, Framing::Object, replacement, DEFAULT_LIMIT);
    let mut out = Vec::new();
    for chunk in body.chunks(CHUNK) {
        masker.push(chunk, &mut out).expect("the body is masked");
    }
    masker.finish(&mut out).expect("the body is whole");
    out.len()
}

fn tree(body: &[u8], change: impl Fn(&mut Value)) -> usize {
    let mut value: Value = serde_json::from_slice(body).expect("JSON");
    change(&mut value);
    serde_json::to_vec(&value).expect("JSON").len()
}

fn through_tree(body: &[u8]) -> usize {
    tree(body, |_| {})
}

fn mask_tree(secret: &mut Value) {
    for value in secret["data"].as_object_mut().into_iter().flat_map(|data| data.values_mut()) {
        *value = Replacement::default().base64().into();
    }
}

fn secrets_tree(body: &[u8]) -> usize {
    tree(body, |list| list["items"].as_array_mut().into_iter().flatten().for_each(mask_tree))
}

fn watched_tree(body: &[u8]) -> usize {
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| tree(line, |event| mask_tree(&mut event["object"]))).sum()
}

// === Bodies, as an API server writes them ===

fn list(kind: &str, item: fn(usize) -> String, length: usize) -> Vec<u8> {
    let mut body =
        format!(r#"{{"kind":"{kind}","apiVersion":"v1","metadata":{{"resourceVersion":"48213"}},"items":["#);
    let mut number = 0;
    while body.len() < length {
        body.push_str(if number == 0 { "" } else { "," });
        body.push_str(&item(number));
        number += 1;
    }
    body.push_str("]}\n");
    body.into_bytes()
}

fn watch() -> Vec<u8> {
    let event = |number| {
        let object = secret(number).replacen('{', r#"{"kind":"Secret","apiVersion":"v1","#, 1);
        format!("{{\"type\":\"MODIFIED\",\"object\":{object}}}\n")
    };
    (0..100).map(event).collect::<String>().into_bytes()
}

/// Base64 of nothing in particular.
fn base64(seed: usize, length: usize) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut state = seed as u64 + 0x9e37_79b9_7f4a_7c15;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(ALPHABET[(state >> 32) as usize % 64])
    };
    (0..length / 4 * 4).map(|_| next()).collect()
}

fn managed(owner: &str, fields: &str) -> String {
    format!(
        r#"{{"manager":"{owner}","operation":"Update","apiVersion":"v1","time":"2026-11-24T12:00:00Z","fieldsType":"FieldsV1","fieldsV1":{fields}}}"#
    )
}

/// A TLS or an opaque Secret: a third of a KiB to six KiB of values.
fn secret(number: usize) -> String {
    let meta = format!(
        r#""metadata":{{"name":"secret-{number}","namespace":"team-{}","uid":"0b9f5a3e-8f5c-4a7e-9d4b-{number:012}","resourceVersion":"{}","creationTimestamp":"2026-11-01T08:00:00Z","labels":{{"app":"web","tier":"backend"}},"managedFields":[{}]}}"#,
        number % 20,
        40_000 + number,
        managed("kubectl-create", r#"{"f:data":{".":{},"f:password":{},"f:username":{}},"f:type":{}}"#)
    );
    let (data, kind) = if number.is_multiple_of(3) {
        (
            format!(r#"{{"tls.crt":"{}","tls.key":"{}"}}"#, base64(number, 3800), base64(number + 1, 2272)),
            "kubernetes.io/tls",
        )
    } else {
        (
            format!(
                r#"{{"password":"{}","username":"YWRtaW4=","config.yaml":"{}"}}"#,
                base64(number, 32),
                base64(number, 300)
            ),
            "Opaque",
        )
    };
    format!(r#"{{{meta},"data":{data},"type":"{kind}"}}"#)
}

/// A pod of a Deployment with two containers, running.
fn pod(number: usize) -> String {
    let applied = r#"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"web\"}}\n"#;
    let container = |name: &str| {
        format!(
            r#"{{"name":"{name}","image":"registry.example.com/shop/{name}:1.42.{number}","args":["--listen=:8080","--log-level=info"],"ports":[{{"name":"http","containerPort":8080,"protocol":"TCP"}}],"env":[{{"name":"POD_NAME","valueFrom":{{"fieldRef":{{"apiVersion":"v1","fieldPath":"metadata.name"}}}}}},{{"name":"DATABASE","value":"orders"}}],"resources":{{"limits":{{"cpu":"500m","memory":"256Mi"}},"requests":{{"cpu":"100m","memory":"128Mi"}}}},"volumeMounts":[{{"name":"kube-api-access-x7k2p","readOnly":true,"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}}],"livenessProbe":{{"httpGet":{{"path":"/healthz","port":"http","scheme":"HTTP"}},"timeoutSeconds":1,"periodSeconds":10,"successThreshold":1,"failureThreshold":3}},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","imagePullPolicy":"IfNotPresent"}}"#
        )
    };
    let state = |name: &str| {
        format!(
            r#"{{"name":"{name}","state":{{"running":{{"startedAt":"2026-11-24T11:58:03Z"}}}},"lastState":{{}},"ready":true,"restartCount":0,"image":"registry.example.com/shop/{name}:1.42.{number}","imageID":"registry.example.com/shop/{name}@sha256:4c1d7f0b2a9e8d6c5b4a39281706f5e4d3c2b1a0987f6e5d4c3b2a1908f7e6d5","containerID":"containerd://9f8e7d6c5b4a39281706f5e4d3c2b1a0987f6e5d4c3b2a1908f7e6d54c1d7f0b","started":true}}"#
        )
    };
    let condition = |kind: &str| {
        format!(
            r#"{{"type":"{kind}","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-11-24T11:58:05Z"}}"#
        )
    };
    let fields = r#"{"f:metadata":{"f:generateName":{},"f:labels":{".":{},"f:app":{},"f:pod-template-hash":{}},"f:ownerReferences":{".":{},"k:{\"uid\":\"5f2f8f0e-6c1b-4f0e-8a55-2f1f0a6b7c8d\"}":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"web\"}":{".":{},"f:args":{},"f:env":{".":{},"k:{\"name\":\"DATABASE\"}":{".":{},"f:name":{},"f:value":{}}},"f:image":{},"f:imagePullPolicy":{},"f:name":{},"f:resources":{".":{},"f:limits":{".":{},"f:cpu":{},"f:memory":{}}}}},"f:dnsPolicy":{},"f:enableServiceLinks":{},"f:restartPolicy":{},"f:schedulerName":{},"f:securityContext":{},"f:terminationGracePeriodSeconds":{}}}"#;
    format!(
        r#"{{"metadata":{{"name":"web-7d4b9c6f5d-{number:05}","generateName":"web-7d4b9c6f5d-","namespace":"team-{}","uid":"3c8f1a2b-5d6e-4f70-8192-{number:012}","resourceVersion":"{}","creationTimestamp":"2026-11-24T11:58:00Z","labels":{{"app":"web","pod-template-hash":"7d4b9c6f5d"}},"annotations":{{"kubectl.kubernetes.io/last-applied-configuration":"{applied}","prometheus.io/scrape":"true"}},"ownerReferences":[{{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-7d4b9c6f5d","uid":"5f2f8f0e-6c1b-4f0e-8a55-2f1f0a6b7c8d","controller":true,"blockOwnerDeletion":true}}],"managedFields":[{}]}},"spec":{{"volumes":[{{"name":"kube-api-access-x7k2p","projected":{{"sources":[{{"serviceAccountToken":{{"expirationSeconds":3607,"path":"token"}}}},{{"configMap":{{"name":"kube-root-ca.crt","items":[{{"key":"ca.crt","path":"ca.crt"}}]}}}}],"defaultMode":420}}}}],"containers":[{},{}],"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","serviceAccountName":"default","nodeName":"node-{}","securityContext":{{}},"schedulerName":"default-scheduler","tolerations":[{{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}}],"priority":0,"enableServiceLinks":true,"preemptionPolicy":"PreemptLowerPriority"}},"status":{{"phase":"Running","conditions":[{},{},{}],"hostIP":"10.0.0.{}","podIP":"10.244.1.{}","podIPs":[{{"ip":"10.244.1.7"}}],"startTime":"2026-11-24T11:58:00Z","containerStatuses":[{},{}],"qosClass":"Burstable"}}}}"#,
        number % 20,
        90_000 + number,
        managed("kube-controller-manager", fields),
        container("web"),
        container("sidecar"),
        number % 40,
        condition("Initialized"),
        condition("Ready"),
        condition("PodScheduled"),
        number % 250,
        number % 250,
        state("web"),
        state("sidecar"),
    )
}

fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = value.len();
    while length > 0x7f {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(value);
    out
}

/// The Secrets of the JSON list, in the form that kubectl's typed calls get.
fn protobuf() -> Vec<u8> {
    let mut items = Vec::new();
    for number in 0.. {
        let meta = [field(1, format!("secret-{number}").as_bytes()), field(3, b"team-1")].concat();
        let entry =
            |key: &[u8], length| [field(1, key), field(2, base64(number, length).as_bytes())].concat();
        let data = [field(2, &entry(b"tls.crt", 2000)), field(2, &entry(b"tls.key", 1200))].concat();
        items.extend(field(2, &[field(1, &meta), data, field(3, b"kubernetes.io/tls")].concat()));
        if items.len() > MIB {
            break;
        }
    }
    let meta = field(1, &[field(1, b"v1"), field(2, b"SecretList")].concat());
    let raw = field(2, &[field(1, &field(2, b"48213")), items].concat());
    [&b"k8s\0"[..], &meta, &raw, &field(3, b""), &field(4, b"")].concat()
}
