#![allow(clippy::arithmetic_side_effects, clippy::type_complexity)]

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

const MASK: &str = "[masked by chaperone]";

fn sentinel() -> Rc<Sentinel> {
    Rc::new(Sentinel::new(&Replacement::default()))
}

/// The key that is named; the inner option as in [`WrittenBack`].
fn check(format: BodyFormat, body: &[u8], size: usize) -> Option<Option<String>> {
    let mut guard = WriteBackGuard::new(sentinel(), format);
    let mut found = None;
    for chunk in body.chunks(size.max(1)) {
        found = guard.push(chunk).err().map(|found| found.key);
    }
    found
}

#[test]
fn finds_masks_and_names_the_key() {
    let base64 = STANDARD.encode(MASK);
    let twice = STANDARD.encode(&base64);
    let embedded = |before: &str| STANDARD.encode(format!("{before}password={MASK}\n"));
    let escaped: String = MASK.chars().map(|char| format!("\\u{:04x}", u32::from(char))).collect();
    let escaped_base64 = base64.replacen('W', "\\u0057", 1);
    let yaml_escaped: String = MASK.chars().map(|char| format!("\\x{:02X}", u32::from(char))).collect();
    let deep = "[0]".repeat(64);
    use BodyFormat::{Bytes, Json, Yaml};
    let cases: Vec<(&str, BodyFormat, String, Option<&str>)> = vec![
        (
            "data",
            Json,
            format!(r#"{{"data":{{"user":"eA==","password":"{base64}"}}}}"#),
            Some("data.password"),
        ),
        ("dotted key", Json, format!(r#"{{"data": {{"tls.crt": "{base64}"}}}}"#), Some("data['tls.crt']")),
        (
            "stringData",
            Json,
            format!(r#"{{"stringData":{{"password":"{MASK}"}}}}"#),
            Some("stringData.password"),
        ),
        (
            "within a text",
            Json,
            format!(r#"{{"data":{{"app.ini":"a\n{MASK}\nb"}}}}"#),
            Some("data['app.ini']"),
        ),
        ("escaped", Json, format!(r#"{{"stringData":{{"k":"{escaped}"}}}}"#), Some("stringData.k")),
        ("escaped base64", Json, format!(r#"{{"data":{{"k":"{escaped_base64}"}}}}"#), Some("data.k")),
        ("escaped key", Json, format!(r#"{{"d\u0061ta":{{"k":"{base64}"}}}}"#), Some("data.k")),
        ("base64 of base64", Json, format!(r#"{{"data":{{"k":"{twice}"}}}}"#), Some("data.k")),
        ("embedded, aligned", Json, format!(r#"{{"data":{{"k":"{}"}}}}"#, embedded("")), Some("data.k")),
        ("embedded, off by one", Json, format!(r#"{{"data":{{"k":"{}"}}}}"#, embedded("x")), Some("data.k")),
        ("embedded, off by two", Json, format!(r#"{{"data":{{"k":"{}"}}}}"#, embedded("xy")), Some("data.k")),
        (
            "embedded twice",
            Json,
            format!(r#"{{"data":{{"k":"{}"}}}}"#, STANDARD.encode(format!("a{}", embedded("x")))),
            Some("data.k"),
        ),
        ("URL-safe", Json, format!(r#"{{"data":{{"k":"{}"}}}}"#, URL_SAFE.encode(MASK)), Some("data.k")),
        (
            "behind other values",
            Json,
            format!(
                r#"{{"metadata":{{"labels":{{"a":"}},{{"}}}},"items":[1,{{"x":[]}},{{"v":["\"",{{}},"{MASK}"]}}]}}"#
            ),
            Some("items[2].v[2]"),
        ),
        (
            "JSON Patch",
            Json,
            format!(r#"[{{"op":"test"}},{{"op":"replace","value":"{base64}"}}]"#),
            Some("[1].value"),
        ),
        ("as a key", Json, format!(r#"{{"a":{{"{MASK}":1}}}}"#), Some("a")),
        ("a text alone", Json, format!("\"{MASK}\""), None),
        (
            "JSON in JSON",
            Json,
            format!(r#"{{"metadata":{{"annotations":{{"x/last":"{{\"data\":{{\"k\":\"{base64}\"}}}}"}}}}}}"#),
            Some("metadata.annotations['x/last']"),
        ),
        ("no JSON", Json, format!("x {MASK}"), None),
        ("very deep", Json, format!("{}\"{MASK}\"", "[".repeat(1000)), Some(deep.as_str())),
        ("YAML", Yaml, format!("data:\n  user: eA==\n  password: {base64}\n"), Some("password")),
        ("YAML, quoted", Yaml, format!("stringData:\n  \"k\": '{MASK}'\n"), Some("k")),
        ("YAML, escaped", Yaml, format!("stringData:\n  k: \"{yaml_escaped}\"\n"), Some("k")),
        ("YAML, list", Yaml, format!("- name: {MASK}"), Some("name")),
        ("YAML, block", Yaml, format!("data:\n  k: |\n    {base64}\n"), None),
        (
            "wrapped base64",
            Json,
            format!(r#"{{"data":{{"k":"{}\n{}\r\n"}}}}"#, &base64[..13], &base64[13..]),
            Some("data.k"),
        ),
        (
            "YAML, wrapped base64",
            Yaml,
            format!("data:\n  k: |\n    {}\n    {}\n", &base64[..13], &base64[13..]),
            None,
        ),
        (
            "YAML, folded",
            Yaml,
            "stringData:\n  k: >-\n    [masked\n    by\n    chaperone]\n".to_owned(),
            None,
        ),
        ("YAML, folded quotes", Yaml, "stringData:\n  k: \"[masked by\n    chaperone]\"\n".to_owned(), None),
        (
            "YAML, escaped line end",
            Yaml,
            "stringData:\n  k: \"[mask\\\n    ed by chaperone]\"\n".to_owned(),
            Some("k"),
        ),
        ("YAML, flow", Yaml, format!("{{data: {{k: {}\n  {}}}}}", &base64[..13], &base64[13..]), None),
        ("YAML that is JSON", Yaml, format!("\n {{\"data\":{{\"k\":\"{base64}\"}}}}"), Some("data.k")),
        ("bytes", Bytes, format!("k8s\0\x12\x15{MASK}\x1a"), None),
    ];
    for (name, format, body, key) in cases {
        for size in [1, 2, 7, 33, 1000, 100_000] {
            let found =
                check(format, body.as_bytes(), size).unwrap_or_else(|| panic!("{name}: not found by {size}"));
            assert_eq!(found.as_deref(), key, "{name}, by {size}");
        }
    }
}

#[test]
fn passes_what_holds_none() {
    let cases = [
        r#"{"data":{"password":"aHVudGVyMg=="}}"#.to_owned(),
        "[masked by chaperones]".to_owned(),
        MASK[1..].to_owned(),
        format!("{{\"a\":\"{}\",\"b\":\"{}\"}}", &MASK[..10], &MASK[10..]),
        STANDARD.encode(&MASK[..20]),
        "\\u005bmasked".to_owned(),
        String::new(),
    ];
    for body in &cases {
        for format in [BodyFormat::Json, BodyFormat::Yaml, BodyFormat::Bytes] {
            for size in [1, 10, 1000] {
                assert_eq!(check(format, body.as_bytes(), size), None, "{body}");
            }
        }
    }
}

#[test]
fn other_replacements() {
    for text in ["???>>>???>>>", "***", "REDACTED~~by~policy??"] {
        let sentinel = Rc::new(Sentinel::new(&Replacement::new(text).unwrap()));
        for body in [text.to_owned(), STANDARD.encode(text), URL_SAFE.encode(text)] {
            if body.len() < SHORTEST && body != text {
                continue;
            }
            let mut guard = WriteBackGuard::new(Rc::clone(&sentinel), BodyFormat::Bytes);
            assert!(guard.push(format!("a {body} b").as_bytes()).is_err(), "{body}");
            assert!(guard.push(b"stays refused").is_err());
        }
    }
}

#[test]
fn the_format_follows_the_content_type() {
    let cases = [
        ("", BodyFormat::Json),
        ("application/json; charset=utf-8", BodyFormat::Json),
        ("application/strategic-merge-patch+json", BodyFormat::Json),
        ("application/json-patch+json", BodyFormat::Json),
        ("application/apply-patch+yaml", BodyFormat::Yaml),
        ("application/yaml", BodyFormat::Yaml),
        ("application/vnd.kubernetes.protobuf", BodyFormat::Bytes),
        ("application/cbor", BodyFormat::Bytes),
    ];
    for (content_type, format) in cases {
        assert_eq!(BodyFormat::of(content_type), format, "{content_type}");
    }
}

#[test]
fn says_which_key() {
    let found = WrittenBack { key: Some("data.password".to_owned()) };
    assert!(found.to_string().starts_with("data.password holds"));
    assert!(WrittenBack { key: None }.to_string().starts_with("the request body holds"));
}

#[cfg(not(target_arch = "wasm32"))]
mod properties {
    use super::*;
    use proptest::prelude::*;

    fn format() -> impl Strategy<Value = BodyFormat> {
        prop::sample::select(vec![BodyFormat::Json, BodyFormat::Yaml, BodyFormat::Bytes])
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn base64_of_anything_around_it_is_found(
            before in prop::collection::vec(any::<u8>(), 0..40),
            after in prop::collection::vec(any::<u8>(), 0..40),
            twice in any::<bool>(),
            size in 1_usize..60,
        ) {
            let body = STANDARD.encode([&before[..], MASK.as_bytes(), &after[..]].concat());
            let body = if twice { STANDARD.encode([&after[..], body.as_bytes()].concat()) } else { body };
            prop_assert!(check(BodyFormat::Bytes, body.as_bytes(), size).is_some());
            let json = format!("{{\"data\":{{\"k\":\"{body}\"}}}}");
            prop_assert_eq!(check(BodyFormat::Json, json.as_bytes(), size), Some(Some("data.k".to_owned())));
        }

        #[test]
        fn any_split_gives_the_same(
            pieces in prop::collection::vec(prop_oneof![
                prop::sample::select(vec![MASK, "\"", "\\", "{", "}", "[", "]", ",", ":", "\n", "\\u005b", "masked by ", "W21hc2tlZCBieSBjaGFwZXJvbmVd", "a: "]).prop_map(str::to_owned),
                "[a-z\"\\\\ ]{0,6}",
            ], 0..30),
            format in format(),
            size in 1_usize..20,
        ) {
            let body = pieces.concat();
            let whole = check(format, body.as_bytes(), usize::MAX);
            let cut = check(format, body.as_bytes(), size);
            prop_assert_eq!(whole.is_some(), cut.is_some());
        }

        #[test]
        fn random_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..300), format in format(), size in 1_usize..300) {
            prop_assert_eq!(check(format, &body, size), None);
        }
    }
}
