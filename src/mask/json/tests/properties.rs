//! Against a slow oracle that builds a tree.

use super::*;
use oracle::{Masks, Node};
use proptest::prelude::*;

// The fuzz target's own.
#[path = "../../../../fuzz/src/oracle.rs"]
mod oracle;

/// Keys and kinds that mean something, at places where they do and do not.
fn meaningful() -> impl Strategy<Value = Node> {
    let word = || {
        prop::sample::select(vec![
            "Secret",
            "SecretList",
            "List",
            "Pod",
            "TokenReview",
            "Status",
            "eA==",
            "x\"y",
            "é",
        ])
    };
    let key = prop::sample::select(vec![
        "kind",
        "data",
        "stringData",
        "metadata",
        "annotations",
        "labels",
        "items",
        "rows",
        "object",
        "status",
        "spec",
        "token",
        "message",
        "details",
        "causes",
        "a",
        "b c",
        "type",
    ]);
    let leaf = prop_oneof![
        4 => word().prop_map(|text| Node::Text(text.to_owned())),
        1 => prop::sample::select(vec!["null", "true", "1", "-2.5"]).prop_map(|text| Node::Plain(text.to_owned())),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Node::List),
            3 => prop::collection::vec((key.clone(), inner), 0..6).prop_map(|members| {
                Node::Object(members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
            }),
        ]
    })
}

fn write(node: &Node, out: &mut String) {
    let text = |text: &str| serde_json::to_string(text).unwrap();
    match node {
        Node::Plain(plain) => out.push_str(plain),
        Node::Text(value) => out.push_str(&text(value)),
        Node::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { "," });
                write(item, out);
            }
            out.push(']');
        }
        Node::Object(members) => {
            out.push('{');
            for (at, (key, value)) in members.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                out.push_str(&text(key));
                out.push_str(": ");
                write(value, out);
            }
            out.push('}');
        }
    }
}

/// What masking does to a parsed object of a request for Secrets, in data and stringData.
fn oracle(value: &mut Value) {
    for (field, mask) in [("data", MASK), ("stringData", PLAIN)] {
        if let Some(Value::Object(map)) = value.get_mut(field) {
            map.values_mut().filter(|value| value.is_string()).for_each(|value| *value = json!(mask));
        }
    }
    if let Some(Value::Array(items)) = value.get_mut("items") {
        items.iter_mut().for_each(oracle);
    }
}

fn string() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{0,12}", any::<String>().prop_map(|text| text.chars().take(20).collect())]
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        string().prop_map(Value::from)
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::hash_map(string(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn secret() -> impl Strategy<Value = Value> {
    let values = || {
        proptest::collection::hash_map(
            string(),
            prop_oneof![9 => string().prop_map(Value::from), 1 => Just(Value::Null)],
            0..5,
        )
    };
    (values(), values(), any_json()).prop_map(|(data, strings, other)| {
        json!({"other": other, "data": Value::Object(data.into_iter().collect()), "stringData": Value::Object(strings.into_iter().collect())})
    })
}

/// Cuts a body at the given places.
fn cut<'a>(body: &'a [u8], at: &[usize]) -> Vec<&'a [u8]> {
    let mut rest = body;
    let mut chunks = Vec::new();
    for at in at {
        let (chunk, tail) = rest.split_at(at % (rest.len() + 1));
        chunks.push(chunk);
        rest = tail;
    }
    chunks.push(rest);
    chunks
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_is_let_through_is_what_the_slow_masker_says(node in meaningful(), how in 0..4_usize, watch: bool, at in prop::collection::vec(any::<usize>(), 0..6)) {
        let (taken, slow) = [
            (Taken::Secrets, oracle::Taken::Secrets),
            (Taken::Tokens, oracle::Taken::Tokens),
            (Taken::ByKind, oracle::Taken::ByKind),
            (Taken::ByKind, oracle::Taken::ByKind),
        ][how];
        let mut body = String::new();
        write(&node, &mut body);
        let whole = mask_chunks(plan(taken, watch), [body.as_bytes()].into_iter()).map(|(out, _)| out);
        prop_assert_eq!(&mask_chunks(plan(taken, watch), cut(body.as_bytes(), &at).into_iter()).map(|(out, _)| out), &whole);
        if let Ok(out) = whole {
            let masks = Masks { base64: MASK, text: PLAIN, withheld: WITHHELD };
            let expected = oracle::mask(&node, slow, watch, &masks);
            let after = oracle::read(&out).unwrap();
            prop_assert!(after.len() == 1 && oracle::same(&expected, &after[0]), "{}\n{}", body, String::from_utf8_lossy(&out));
        }
    }
}

proptest! {
    #[test]
    fn secrets_are_masked_as_the_oracle_does(items in proptest::collection::vec(secret(), 0..3), pretty: bool, at in proptest::collection::vec(any::<usize>(), 0..6)) {
        let mut list = json!({"kind": "SecretList", "items": items});
        let body = if pretty { serde_json::to_string_pretty(&list) } else { serde_json::to_string(&list) }.unwrap();
        let (out, _) = mask_chunks(SECRETS, cut(body.as_bytes(), &at).into_iter()).unwrap();
        oracle(&mut list);
        prop_assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), list);
    }

    #[test]
    fn what_holds_no_secret_passes_byte_for_byte(spec in any_json(), at in proptest::collection::vec(any::<usize>(), 0..6)) {
        let body = format!(r#"{{"kind":"Pod","spec":{spec}}}"#);
        let (out, _) = mask_chunks(BY_KIND, cut(body.as_bytes(), &at).into_iter()).unwrap();
        prop_assert_eq!(out, body.into_bytes());
    }

    #[test]
    fn any_bytes_are_masked_or_refused_alike_however_cut(body in proptest::collection::vec(any::<u8>(), 0..64), at in proptest::collection::vec(any::<usize>(), 0..4)) {
        for plan in [SECRETS, BY_KIND, plan(Taken::ByKind, true)] {
            let whole = mask_chunks(plan, [body.as_slice()].into_iter()).map(|(out, _)| out);
            prop_assert_eq!(mask_chunks(plan, cut(&body, &at).into_iter()).map(|(out, _)| out), whole);
        }
    }

    #[test]
    fn almost_json_is_accepted_only_where_serde_json_accepts_it(body in r#"([\[\]{}:,"\\ ]|"data"|"kind"|"Secret"|"a"|1|-|\.|e|true|null|\\u00){0,24}"#, at in proptest::collection::vec(any::<usize>(), 0..4)) {
        for plan in [SECRETS, BY_KIND] {
            let whole = mask_chunks(plan, [body.as_bytes()].into_iter()).map(|(out, _)| out);
            prop_assert_eq!(&mask_chunks(plan, cut(body.as_bytes(), &at).into_iter()).map(|(out, _)| out), &whole);
            if let Ok(out) = whole && !body.trim().is_empty() {
                prop_assert!(serde_json::from_str::<Value>(&body).is_ok(), "{body:?}");
                prop_assert!(serde_json::from_slice::<Value>(&out).is_ok(), "{body:?}");
            }
        }
    }
}
