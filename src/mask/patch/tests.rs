#![allow(clippy::arithmetic_side_effects, clippy::type_complexity)]

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

#[test]
fn only_operations_that_do_not_read() {
    let refused = |index, op: &str, path: &str| {
        Err(PatchRefusal::Operation { index, op: op.to_owned(), path: path.to_owned() })
    };
    let malformed = Err(PatchRefusal::Malformed);
    let cases: [(&str, Result<(), PatchRefusal>); 19] = [
        ("[]", Ok(())),
        (r#"[{"op":"add","path":"/data/a","value":"eA=="},{"op":"remove","path":"/data/b"}]"#, Ok(())),
        (r#" [ {"value":{"op":"test","path":["copy"]},"path":"/data","op":"replace"} ] "#, Ok(())),
        (
            r#"[{"op":"add","path":"/a"},{"op":"copy","from":"/data/a","path":"/type"}]"#,
            refused(1, "copy", "/type"),
        ),
        (r#"[{"op":"move","from":"/data/a","path":"/x"}]"#, refused(0, "move", "/x")),
        (r#"[{"op":"test","path":"/data/a","value":"eA=="}]"#, refused(0, "test", "/data/a")),
        (r#"[{"\u006fp":"t\u0065st","path":"/data/a"}]"#, refused(0, "test", "/data/a")),
        (r#"[{"op":"Add","path":"/a"}]"#, refused(0, "Add", "/a")),
        (r#"[{"op":"add","op":"add","path":"/a"}]"#, malformed.clone()),
        (r#"[{"op":"add","o\u0070":"test","path":"/a"}]"#, malformed.clone()),
        (r#"[{"op":"add","path":"/a","path":"/b"}]"#, malformed.clone()),
        (r#"[{"path":"/a"}]"#, malformed.clone()),
        (r#"[{"op":"add"}]"#, malformed.clone()),
        (r#"[{"op":null,"path":"/a"}]"#, malformed.clone()),
        (r#"{"op":"add","path":"/a"}"#, malformed.clone()),
        (r#"[["add","/a"]]"#, malformed.clone()),
        (r#"[{"op":"add","path":"/a"}] []"#, malformed.clone()),
        (r#"[{"op":"add","path":"/a"}"#, malformed.clone()),
        ("", malformed.clone()),
    ];
    for (body, expected) in cases {
        assert_eq!(check_secret_patch(body.as_bytes()), expected, "{body}");
    }
    assert_eq!(check_secret_patch(b"[{\"op\":\"a\xff\",\"path\":\"/a\"}]"), malformed);
}

#[test]
fn the_refusal_names_the_operation() {
    let refusal = check_secret_patch(br#"[{"op":"copy","from":"/data/a","path":"/type"}]"#).unwrap_err();
    assert!(refusal.to_string().starts_with("operation 0, \"copy\" at \"/type\""));
}

#[test]
fn what_real_servers_took() {
    macro_rules! captures {
        ($($name:literal),*) => {
            [$((concat!($name), include_str!(concat!("../../../test-harness/fixtures/captures/v1.36/", $name, ".json")))),*]
        };
    }
    let files = captures![
        "jsonpatch-copy-annotation",
        "jsonpatch-copy-as-meta",
        "jsonpatch-copy-type",
        "jsonpatch-labels",
        "jsonpatch-test-oracle"
    ];
    for (name, text) in files {
        let capture: serde_json::Value = serde_json::from_str(text).unwrap();
        let body = capture["request"]["body"].as_str().unwrap();
        let refused = check_secret_patch(body.as_bytes()).is_err();
        assert_eq!(refused, capture["expect"] == "refuse", "{name}");
    }
}
