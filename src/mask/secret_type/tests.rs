#![allow(clippy::arithmetic_side_effects, clippy::type_complexity)]

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

const TOKEN: Result<Option<&str>, TypeUnclear> = Ok(Some(SERVICE_ACCOUNT_TOKEN));
const NONE: Result<Option<&str>, TypeUnclear> = Ok(None);
const UNCLEAR: Result<Option<&str>, TypeUnclear> = Err(TypeUnclear);

#[test]
fn tells_the_type() {
    let (json, yaml) = ("application/json", "application/yaml");
    let cases = [
        (json, r#"{"kind":"Secret","type":"kubernetes.io/service-account-token"}"#, TOKEN),
        ("", r#"{"t\u0079pe":"kubernetes.io\/service-account-token"}"#, TOKEN),
        ("application/merge-patch+json", r#"{"Type":"kubernetes.io/service-account-token"}"#, TOKEN),
        (json, r#"{"metadata":{"type":"kubernetes.io/service-account-token"}}"#, NONE),
        (json, r#"{"type":null}"#, NONE),
        (json, r#"{"type":"Opaque","type":"kubernetes.io/service-account-token"}"#, UNCLEAR),
        (json, r#"{"type":"Opaque","TYPE":"kubernetes.io/service-account-token"}"#, UNCLEAR),
        (json, r#"{"type":["x"]}"#, UNCLEAR),
        (json, r#"{"type":"Opaque"} x"#, UNCLEAR),
        (json, "", UNCLEAR),
        (json, "type: kubernetes.io/service-account-token", UNCLEAR),
        ("application/json-patch+json", "[]", NONE),
        ("application/cbor", "", UNCLEAR),
        ("text/plain", "{}", UNCLEAR),
        (yaml, "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/service-account-token\n", TOKEN),
        ("application/apply-patch+yaml", "{\"type\":\"kubernetes.io/service-account-token\"}", TOKEN),
        (
            yaml,
            "---\n# a comment\n\"type\" : 'kubernetes.io/service-account-token' # really\r\nkind: Secret\r\n",
            TOKEN,
        ),
        (yaml, "kind: Secret\ndata:\n  type: kubernetes.io/service-account-token\n  b: |\n    text\n", NONE),
        (yaml, "kind: Secret\rtype: kubernetes.io/service-account-token", TOKEN),
        (yaml, "kind: Secret\ntype: Opaque\ntype: kubernetes.io/service-account-token\n", UNCLEAR),
        (yaml, "kind: Secret\n\"t\\x79pe\": kubernetes.io/service-account-token\n", UNCLEAR),
        (yaml, "kind: Secret\ntype: \"kubernetes.io/service-account-\\x74oken\"\n", UNCLEAR),
        (yaml, "kind: Secret\ntype: &a x\n", UNCLEAR),
        (yaml, "kind: Secret\ntype: *a\n", UNCLEAR),
        (yaml, "kind: Secret\ntype:\n  kubernetes.io/service-account-token\n", UNCLEAR),
        (yaml, "kind: Secret\ntype: kubernetes.io/service-account-token\n  more\n", UNCLEAR),
        (yaml, "kind: Secret\n<<: *a\n", UNCLEAR),
        (yaml, "kind: Secret\n? type\n: kubernetes.io/service-account-token\n", UNCLEAR),
        (yaml, "kind: Secret\u{2028}type: kubernetes.io/service-account-token\n", UNCLEAR),
        (yaml, "a: b\n---\ntype: Opaque\n", UNCLEAR),
        (yaml, "--- {type: kubernetes.io/service-account-token}", UNCLEAR),
        (yaml, " kind: Secret\n type: kubernetes.io/service-account-token\n", UNCLEAR),
        (yaml, "- type: x\n", UNCLEAR),
        (yaml, "kind: \"a\ntype: Opaque\"\n", UNCLEAR),
        (yaml, "!!map\nkind: Secret\n", UNCLEAR),
        (yaml, "# nothing\n", UNCLEAR),
    ];
    for (content_type, body, expected) in cases {
        let expected = expected.map(|found| found.map(str::to_owned));
        assert_eq!(secret_type(body.as_bytes(), content_type), expected, "{content_type}: {body}");
    }
}

#[test]
fn tells_the_type_in_protobuf() {
    let object = |kind: &str, raw: &[u8]| {
        let field = |number: u8, value: &[u8]| [&[number << 3 | 2, value.len() as u8], value].concat();
        let type_meta = [field(1, b"v1"), field(2, kind.as_bytes())].concat();
        [b"k8s\0".to_vec(), field(1, &type_meta), field(2, raw)].concat()
    };
    let token = b"\x1a\x23kubernetes.io/service-account-token";
    let cases: [(Vec<u8>, Result<Option<&str>, TypeUnclear>); 6] = [
        (object("Secret", token), TOKEN),
        (object("Secret", b""), NONE),
        (object("Secret", &token.repeat(2)), UNCLEAR),
        (object("Pod", token), UNCLEAR),
        (object("Secret", &token[..9]), UNCLEAR),
        (b"{}".to_vec(), UNCLEAR),
    ];
    for (body, expected) in cases {
        let found = secret_type(&body, "application/vnd.kubernetes.protobuf");
        assert_eq!(found, expected.map(|found| found.map(str::to_owned)));
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod properties {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn random_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..200), text in "[a-z:#\"' \n{}-]{0,60}") {
            for content_type in ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"] {
                let _ = secret_type(&body, content_type);
                let _ = secret_type(text.as_bytes(), content_type);
            }
            let _ = crate::mask::patch::check_secret_patch(&body);
        }
    }
}
