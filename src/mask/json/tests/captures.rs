//! Real exchanges: nothing planted gets through, and nothing else changes.

use super::*;
use crate::kube::RequestInfo;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use proptest::test_runner::{RngAlgorithm, TestRng};
use std::path::Path;

struct Capture {
    name: String,
    expect: String,
    plan: Plan,
    body: Vec<u8>,
    forbidden: Vec<String>,
}

fn captures() -> Vec<Capture> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("test-harness/fixtures/captures");
    let mut captures = Vec::new();
    for version in ["v1.20", "v1.36"] {
        for file in std::fs::read_dir(root.join(version)).unwrap() {
            let value: Value = serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()).unwrap();
            let headers = value["response"]["headers"].as_array().unwrap();
            let json = |header: &Value| {
                header[0].as_str().unwrap().eq_ignore_ascii_case("content-type")
                    && header[1].as_str().unwrap().starts_with("application/json")
            };
            let Some(body) = value["response"]["body"].as_str().filter(|_| headers.iter().any(json)) else {
                continue;
            };
            let text = |name: &str| value["request"][name].as_str().unwrap().to_owned();
            let info = RequestInfo::parse(text("method").as_bytes(), text("path").as_bytes()).unwrap();
            captures.push(Capture {
                name: format!("{version}/{}", value["name"].as_str().unwrap()),
                expect: value["expect"].as_str().unwrap().to_owned(),
                plan: Plan::response(&info),
                body: body.as_bytes().to_vec(),
                forbidden: value["forbidden"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|one| one.as_str().unwrap().to_owned())
                    .collect(),
            });
        }
    }
    assert!(captures.len() > 80, "{}", captures.len());
    captures
}

/// All texts in a document: strings, JSON within strings, and what base64 decodes to.
fn texts(value: &Value, depth: usize, found: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            found.push(text.clone());
            if depth == 0 {
                return;
            }
            if let Ok(inner) = serde_json::from_str::<Value>(text) {
                texts(&inner, depth - 1, found);
            }
            for decoded in [STANDARD.decode(text), STANDARD_NO_PAD.decode(text)].into_iter().flatten() {
                texts(&Value::String(String::from_utf8_lossy(&decoded).into_owned()), depth - 1, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, depth, found)),
        Value::Object(map) => map.iter().for_each(|(key, item)| {
            found.push(key.clone());
            texts(item, depth, found);
        }),
        _ => {}
    }
}

fn documents(bytes: &[u8]) -> Vec<Value> {
    serde_json::Deserializer::from_slice(bytes).into_iter().map(Result::unwrap).collect()
}

/// Two documents differ only in strings, at equal places, where the second has a mask.
fn differs_only_in_masks(before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, value)| b.get(key).is_some_and(|other| differs_only_in_masks(value, other)))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(one, other)| differs_only_in_masks(one, other))
        }
        (Value::String(a), Value::String(b)) => {
            a == b
                || [MASK, PLAIN, WITHHELD].contains(&b.as_str())
                || matches!((serde_json::from_str::<Value>(a), serde_json::from_str::<Value>(b)), (Ok(a), Ok(b)) if differs_only_in_masks(&a, &b))
        }
        (a, b) => a == b,
    }
}

#[test]
fn nothing_planted_gets_through_and_nothing_else_changes() {
    for capture in captures() {
        let (out, report) = mask_chunks(capture.plan, [capture.body.as_slice()].into_iter())
            .unwrap_or_else(|error| panic!("{}: {error}", capture.name));
        let (before, after) = (documents(&capture.body), documents(&out));
        assert_eq!(before.len(), after.len(), "{}", capture.name);
        for (before, after) in before.iter().zip(&after) {
            assert!(differs_only_in_masks(before, after), "{}", capture.name);
        }
        let mut found = vec![String::from_utf8(out.clone()).unwrap()];
        after.iter().for_each(|document| texts(document, 3, &mut found));
        for forbidden in &capture.forbidden {
            assert!(!found.iter().any(|text| text.contains(forbidden)), "{}", capture.name);
        }
        if capture.expect == "pass" {
            assert_eq!(out, capture.body, "{}", capture.name);
            assert!(report.paths().is_empty());
        }
    }
}

#[test]
fn any_cut_gives_the_same_bytes() {
    let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    for capture in captures() {
        let whole = mask_chunks(capture.plan, [capture.body.as_slice()].into_iter()).unwrap();
        for _ in 0..1000 {
            let mut rest = capture.body.as_slice();
            let mut chunks = Vec::new();
            while !rest.is_empty() {
                let most = if random.random_bool() { 16 } else { rest.len() };
                let (chunk, tail) = rest.split_at(1 + random.below(most.min(rest.len())));
                chunks.push(chunk);
                rest = tail;
            }
            let cut = mask_chunks(capture.plan, chunks.into_iter()).unwrap();
            assert!(cut.0 == whole.0, "{}", capture.name);
        }
    }
}

trait Random {
    fn below(&mut self, most: usize) -> usize;
    fn random_bool(&mut self) -> bool;
}

impl Random for TestRng {
    fn below(&mut self, most: usize) -> usize {
        use proptest::prelude::Rng;
        usize::try_from(self.next_u64()).unwrap() % most
    }

    fn random_bool(&mut self) -> bool {
        self.below(2) == 1
    }
}
