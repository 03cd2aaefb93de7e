//! What two real API servers answered.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::decoded::{leaks, objects};
use super::{Asked, Framing, MASK, run};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

macro_rules! captures {
    ($($name:literal),* $(,)?) => {
        [$(
            (concat!("v1.20/", $name), include_str!(concat!("../../../../test-harness/fixtures/captures/v1.20/", $name, ".json"))),
            (concat!("v1.36/", $name), include_str!(concat!("../../../../test-harness/fixtures/captures/v1.36/", $name, ".json"))),
        )*]
    };
}

/// The recorded response bodies: name, what the request was for, framing, body, texts that may not come out.
pub(super) fn captures() -> Vec<(&'static str, Asked, Framing, Vec<u8>, Vec<String>)> {
    let files = captures![
        "get-applied-proto",
        "get-applied-proto-or-json",
        "list-app-proto",
        "list-proto",
        "watch-proto",
        "pass-namespaces-proto",
    ];
    let read = |(name, text): &(&'static str, &str)| {
        let capture: serde_json::Value = serde_json::from_str(text).unwrap();
        let body = STANDARD.decode(capture["response"]["body_base64"].as_str().unwrap()).unwrap();
        let forbidden: Vec<String> = serde_json::from_value(capture["forbidden"].clone()).unwrap();
        let asked = if capture["expect"] == "mask" { Asked::Secrets } else { Asked::Other };
        let framing = if name.contains("watch") { Framing::Watch } else { Framing::Object };
        (*name, asked, framing, body, forbidden)
    };
    files.iter().map(read).collect()
}

/// A small generator of pseudo-random numbers, so that every run sees the same cuts.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

/// Cuts `body` in pieces: sometimes tiny, sometimes large.
fn cut<'b>(mut body: &'b [u8], random: &mut Random) -> Vec<&'b [u8]> {
    let largest = [3, 40, 900, 20_000, 200_000][random.below(5)];
    let mut pieces = Vec::new();
    while !body.is_empty() {
        let (piece, rest) = body.split_at((random.below(largest) + 1).min(body.len()));
        pieces.push(piece);
        body = rest;
    }
    pieces
}

#[test]
fn every_capture_in_a_thousand_cuts() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for (name, asked, framing, body, forbidden) in captures() {
        let (expected, paths) = run(asked, framing, &[&body]).unwrap();
        if asked == Asked::Other {
            assert_eq!(expected, body, "{name}");
        } else {
            assert!(!paths.is_empty(), "{name}");
        }
        assert_eq!(leaks(&expected, &forbidden), 0, "{name}");
        assert!(leaks(&body, &forbidden) > 0 || forbidden.is_empty(), "{name}: nothing to look for");
        let (before, after) = (objects(framing, &body), objects(framing, &expected));
        assert_eq!(before.len(), after.len(), "{name}");
        for (old, new) in before.iter().zip(&after) {
            assert_eq!(old.path, new.path, "{name}");
            if old.secret {
                assert_eq!(new.value, MASK, "{name} {}", old.path);
            } else {
                assert_eq!(new.value, old.value, "{name} {}", old.path);
            }
        }
        for round in 0..1000 {
            let (out, _) = run(asked, framing, &cut(&body, &mut random)).unwrap();
            assert!(out == expected, "{name}, cut {round}");
        }
    }
}
