//! How long auditors' questions take, each asked with other values every time.

use crate::load::{
    agent_name, model_name, moment, name, namespace_name, prompt, resource, session_id, sessions, user_name,
};
use crate::place::{AUDITOR, Place, agent};
use crate::{milliseconds, percentile};
use comfy_table::Table;
use std::time::{Duration, Instant};

/// A question and the path that asks it, for a random number.
type Question = (&'static str, fn(&mut fastrand::Rng, u64) -> String);

const QUESTIONS: [Question; 22] = [
    ("sessions", |_, _| "/v1/sessions?limit=100".to_owned()),
    ("sessions of a user", |r, _| format!("/v1/sessions?user={}", user_name(r.u64(..500)))),
    ("sessions of a model", |r, _| format!("/v1/sessions?model={}", model_name(r.u64(..12)))),
    ("sessions of an agent", |r, _| format!("/v1/sessions?agent={}", agent_name(r.u64(..4)))),
    ("sessions of a prompt", |r, size| format!("/v1/sessions?prompt={}", prompt(r.u64(..sessions(size))))),
    ("sessions in a namespace", |r, _| format!("/v1/sessions?namespace={}", namespace_name(r.u64(..100)))),
    ("sessions at an object", |r, _| {
        format!(
            "/v1/sessions?namespace={}&resource={}&name={}",
            namespace_name(r.u64(..100)),
            resource(r.usize(..10)),
            name(r.u64(..20_000))
        )
    }),
    ("sessions with refusals", |_, _| "/v1/sessions?decision=refused".to_owned()),
    ("sessions until a moment", |r, _| format!("/v1/sessions?until={}", moment(r.u64(1..1000)))),
    ("a session", |r, size| format!("/v1/sessions/{}", session_id(r.u64(..sessions(size))))),
    ("exchanges", |_, _| "/v1/exchanges".to_owned()),
    ("exchanges at an object", |r, _| {
        format!(
            "/v1/exchanges?namespace={}&resource={}&name={}",
            namespace_name(r.u64(..100)),
            resource(r.usize(..10)),
            name(r.u64(..20_000))
        )
    }),
    ("exchanges in a namespace", |r, _| format!("/v1/exchanges?namespace={}", namespace_name(r.u64(..100)))),
    ("exchanges in a namespace, of a resource", |r, _| {
        format!(
            "/v1/exchanges?namespace={}&resource={}",
            namespace_name(r.u64(..100)),
            resource(r.usize(..10))
        )
    }),
    ("exchanges of a user", |r, _| format!("/v1/exchanges?user={}", user_name(r.u64(..500)))),
    ("exchanges of a model", |r, _| format!("/v1/exchanges?model={}", model_name(r.u64(..12)))),
    ("exchanges of an agent", |r, _| format!("/v1/exchanges?agent={}", agent_name(r.u64(..4)))),
    ("exchanges of a prompt", |r, size| format!("/v1/exchanges?prompt={}", prompt(r.u64(..sessions(size))))),
    ("search, a rare word", |r, _| format!("/v1/search?q={:05}", r.u64(..20_000))),
    ("search, a frequent word", |r, _| format!("/v1/search?q={}", resource(r.usize(..10)))),
    ("search, two words", |r, _| {
        format!("/v1/search?q={}+{}", resource(r.usize(..10)), namespace_name(r.u64(..100)))
    }),
    ("search, the beginning of a word", |r, _| format!("/v1/search?q={:03}*", r.u64(..200))),
];

pub fn ask(place: &Place, size: u64, times: usize) {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN).set_header(["question", "p50", "p95", "most"]);
    let (agent, mut random) = (agent(), fastrand::Rng::with_seed(1));
    let get = |path: &str| {
        let request = agent.get(format!("{}{path}", place.base));
        let started = Instant::now();
        let mut answer = request.header("authorization", format!("Bearer {AUDITOR}")).call().unwrap();
        let body = answer.body_mut().read_to_vec().unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        (started.elapsed(), body)
    };
    let mut row = |name: &str, mut once: Box<dyn FnMut() -> Duration + '_>| {
        let mut latencies = Vec::new();
        let began = Instant::now();
        // What takes very long is not asked as often.
        while latencies.len() < times && began.elapsed() < Duration::from_secs(20) {
            latencies.push(once());
        }
        latencies.sort_unstable();
        let most = latencies.last().copied().unwrap_or_default();
        let cells = [percentile(&latencies, 50), percentile(&latencies, 95), most].map(milliseconds);
        table.add_row([&[name.to_owned()][..], &cells[..]].concat());
    };
    for (name, question) in QUESTIONS {
        row(name, Box::new(|| get(&question(&mut random, size)).0));
    }
    let list: serde_json::Value = serde_json::from_slice(&get("/v1/exchanges?limit=1000").1).unwrap();
    let known: Vec<&str> =
        list["exchanges"].as_array().unwrap().iter().filter_map(|e| e["exchange"].as_str()).collect();
    row("an exchange", Box::new(|| get(&format!("/v1/exchanges/{}", known[random.usize(..known.len())])).0));
    println!("{table}\n");
}
