//! What two hundred workers' filters post: agents' sessions, one after the other over a week, in signed batches.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chaperone::evidence::sha256_hex;
use chaperone_record::{FIRST_PREVIOUS, Timestamp};
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::json;

const RECORDERS: usize = 200;
/// Exchanges of a session.
const SESSION: u64 = 50;
/// Sessions that go on at a time.
const OPEN_SESSIONS: u64 = 40;
const USERS: u64 = 500;
const NAMESPACES: u64 = 100;
const MODELS: u64 = 12;
/// How long all of it takes, in microseconds: a week.
const SPAN: u64 = 7 * 24 * 3600 * 1_000_000;
/// When it begins: 2026-11-16T00:00:00Z.
const START: u64 = 1_794_787_200_000_000;

const RESOURCES: [(&str, &str, &str); 10] = [
    ("", "v1", "pods"),
    ("", "v1", "services"),
    ("", "v1", "configmaps"),
    ("", "v1", "events"),
    ("", "v1", "secrets"),
    ("apps", "v1", "deployments"),
    ("apps", "v1", "replicasets"),
    ("apps", "v1", "statefulsets"),
    ("batch", "v1", "jobs"),
    ("networking.k8s.io", "v1", "ingresses"),
];
const WORDS: [&str; 24] = [
    "checkout",
    "cart",
    "payment",
    "search",
    "gateway",
    "mailer",
    "ledger",
    "stock",
    "pricing",
    "invoice",
    "profile",
    "session",
    "worker",
    "scheduler",
    "frontend",
    "catalog",
    "review",
    "shipping",
    "returns",
    "audit",
    "metrics",
    "report",
    "import",
    "export",
];

/// A batch and the header that it is posted with.
pub struct Signed {
    pub body: Vec<u8>,
    pub signature: String,
}

/// What a chain has gathered for its next batch.
struct Recorder {
    id: String,
    batch: u64,
    previous: String,
    entries: Vec<String>,
    /// How many entries make the next batch.
    full: usize,
}

/// The batches of so many exchanges.
pub struct Load {
    random: fastrand::Rng,
    size: u64,
    made: u64,
    /// How many of a hundred exchanges have a body.
    bodies: u64,
    recorders: Vec<Recorder>,
    header: String,
    key: SigningKey,
    finished: usize,
}

impl Load {
    pub fn new(size: u64, bodies: u64, key: SigningKey, kid: &str) -> Self {
        let mut random = fastrand::Rng::with_seed(size);
        let recorders = (0..RECORDERS).map(|_| Recorder {
            id: uuid(random.u128(..)),
            batch: 0,
            previous: FIRST_PREVIOUS.to_owned(),
            entries: Vec::new(),
            full: random.usize(10..=60),
        });
        let recorders = recorders.collect();
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": "EdDSA", "kid": kid}).to_string());
        Self { random, size, made: 0, bodies, recorders, header, key, finished: 0 }
    }

    /// Makes one more exchange. Returns the number of the chain that it went to.
    fn exchange(&mut self) -> usize {
        let (number, random) = (self.made, &mut self.random);
        self.made += 1;
        let session = (number / SESSION + random.u64(..OPEN_SESSIONS)) % sessions(self.size);
        let time = START + number * (SPAN / self.size);
        let place = ((session * 7 + random.u64(..4)) % RECORDERS as u64) as usize;
        let (user, namespace) = (session % USERS, (session + random.u64(..4)) % NAMESPACES);
        // A few models do most of the work.
        let model = (session * 31 % MODELS) * (session * 17 % MODELS) / MODELS;
        let (group, version, resource) = RESOURCES[random.usize(..10)];
        let name = name(random.u64(..20_000));
        let write = random.u64(..100) < 8;
        let (method, verb) = if write { ("PATCH", "patch") } else { ("GET", "get") };
        let refused = random.u64(..100) == 0;
        let prefix = if group.is_empty() { "/api".to_owned() } else { format!("/apis/{group}") };
        let attributed = |value: &str, source: &str, verified: bool| json!({"value": value, "source": source, "verified": verified});
        let mut entry = json!({
            "type": "exchange", "exchange": exchange_id(time, random.u128(..)), "session": session_id(session),
            "user": {"username": user_name(user), "uid": uuid(u128::from(user) << 90), "groups": ["agents", format!("team-{}", user % 25)],
                "issuer": "https://idp.example.com", "tokenID": uuid(u128::from(session) << 70 | 7)},
            "attribution": {
                "agent": attributed(agent_name(session), "claim:act.sub", true),
                "session": attributed(&session_id(session), "claim:sid", true),
                "model": attributed(&model_name(model), "claim:model", true),
                "prompt": attributed(&sha256_hex(&session.to_be_bytes()), "claim:prompt_sha256", true),
            },
            "method": method, "requestURI": format!("{prefix}/{version}/namespaces/{}/{resource}/{name}", namespace_name(namespace)),
            "verb": verb, "objectRef": {"apiGroup": group, "apiVersion": version, "resource": resource,
                "namespace": namespace_name(namespace), "name": name},
            "sourceIPs": [format!("10.{}.{}.{}", place % 16, session % 200, session % 250)],
            "userAgent": "kubectl/v1.37.1 (linux/amd64) kubernetes/0123abc",
            "decision": {"allowed": !refused, "rule": if refused { "access.rules[3]" } else { "access.default" }},
            "responseStatus": {"code": if refused { 403 } else { 200 }},
            "responseDigest": {"sha256": sha256_hex(&number.to_be_bytes()), "bytes": 2000 + random.u64(..4000)},
            "outcome": if refused { "refused" } else { "complete" },
            "timing": {"received": stamp(time), "forwarded": stamp(time + 400), "firstByte": stamp(time + 6_000), "complete": stamp(time + 6_500)},
        });
        if random.u64(..100) < self.bodies {
            entry["responseObject"] = object(random, resource, &name, &namespace_name(namespace));
        }
        self.recorders[place].entries.push(entry.to_string());
        place
    }

    fn batch(&mut self, place: usize) -> Signed {
        let recorder = &mut self.recorders[place];
        let entries = std::mem::take(&mut recorder.entries);
        let body = format!(
            r#"{{"recorder":"{}","batch":{},"previous":"{}","entries":[{}]}}"#,
            recorder.id,
            recorder.batch,
            recorder.previous,
            entries.join(",")
        )
        .into_bytes();
        recorder.batch += 1;
        recorder.previous = sha256_hex(&body);
        recorder.full = self.random.usize(10..=60);
        let input = format!("{}.{}", self.header, URL_SAFE_NO_PAD.encode(&body));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(input.as_bytes()).to_bytes());
        Signed { body, signature: format!("{}..{signature}", self.header) }
    }
}

impl Iterator for Load {
    type Item = Signed;

    fn next(&mut self) -> Option<Signed> {
        while self.made < self.size {
            let place = self.exchange();
            if self.recorders[place].entries.len() >= self.recorders[place].full {
                return Some(self.batch(place));
            }
        }
        while self.finished < RECORDERS {
            self.finished += 1;
            if !self.recorders[self.finished - 1].entries.is_empty() {
                return Some(self.batch(self.finished - 1));
            }
        }
        None
    }
}

/// A pod as `get` answers it, some kilobytes of it.
fn object(random: &mut fastrand::Rng, resource: &str, name: &str, namespace: &str) -> serde_json::Value {
    let word = |random: &mut fastrand::Rng| WORDS[random.usize(..WORDS.len())];
    let variables: Vec<_> = (0..random.u64(5..60))
        .map(|n| json!({"name": format!("{}_{n}", word(random).to_uppercase()), "value": format!("{}-{}", word(random), random.u16(..))}))
        .collect();
    json!({"apiVersion": "v1", "kind": resource, "metadata": {"name": name, "namespace": namespace, "uid": uuid(random.u128(..)),
            "resourceVersion": random.u32(..).to_string(), "labels": {"app": word(random), "pod-template-hash": random.u32(..).to_string()}},
        "spec": {"nodeName": format!("node-{}", random.u8(..)), "containers": [{"name": word(random), "env": variables,
            "image": format!("registry.example.com/{}@sha256:{}", word(random), sha256_hex(&random.u64(..).to_be_bytes())),
            "resources": {"limits": {"cpu": "2", "memory": "512Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}}}]},
        "status": {"phase": "Running", "podIP": format!("10.1.{}.{}", random.u8(..), random.u8(..)), "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-16T00:00:00Z"},
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-16T00:00:00Z"}]}})
}

pub fn sessions(size: u64) -> u64 {
    (size / SESSION).max(1)
}

pub fn session_id(session: u64) -> String {
    uuid(
        u128::from(session.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 64
            | u128::from(session.wrapping_mul(0xbf58_476d_1ce4_e5b9)),
    )
}

pub fn user_name(user: u64) -> String {
    format!("agent-{user}@example.com")
}

pub fn model_name(model: u64) -> String {
    format!("vendor/model-{model}")
}

pub fn agent_name(agent: u64) -> &'static str {
    ["claude-code", "kubectl-ai", "k8sgpt", "holmes"][(agent % 4) as usize]
}

pub fn namespace_name(namespace: u64) -> String {
    format!("shop-{namespace}")
}

pub fn name(number: u64) -> String {
    format!("{}-{}-{number:05}", WORDS[(number % 24) as usize], WORDS[(number / 24 % 24) as usize])
}

pub fn resource(number: usize) -> &'static str {
    RESOURCES[number % RESOURCES.len()].2
}

pub fn prompt(session: u64) -> String {
    sha256_hex(&session.to_be_bytes())
}

/// A moment within the load.
pub fn moment(of_a_thousand: u64) -> String {
    stamp(START + SPAN / 1000 * of_a_thousand)
}

fn stamp(micros: u64) -> String {
    Timestamp::from_micros(micros).to_string()
}

/// UUIDv7.
fn exchange_id(micros: u64, random: u128) -> String {
    uuid(u128::from(micros / 1000) << 80 | 7 << 76 | (random & 0xfff) << 64 | 2 << 62 | random >> 66)
}

fn uuid(bits: u128) -> String {
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
