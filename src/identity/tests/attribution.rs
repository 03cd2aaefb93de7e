#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::issuer::*;
use crate::config::AttributionSources;
use crate::identity::{Identity, attribute, require};
use chaperone_record::Attribution;
use serde_json::{Value, json};

fn sources(value: Value) -> AttributionSources {
    serde_json::from_value(value).unwrap()
}

fn identity(extra: Value) -> std::rc::Rc<Identity> {
    let mut claims = claims();
    claims.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    ask(&sign(&header(), &claims)).unwrap()
}

fn read(
    sources: &AttributionSources,
    claims: Value,
    session: Option<&str>,
    headers: &[(&str, &[u8])],
) -> Attribution {
    attribute(sources, Some(&identity(claims)), session, &|name| {
        headers.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    })
}

fn shown(value: Option<&chaperone_record::Attributed>) -> Option<(&str, &str, bool)> {
    value.map(|value| (value.value.as_str(), value.source.as_str(), value.verified))
}

#[test]
fn the_first_source_that_has_a_value_wins() {
    let defaults = AttributionSources::default();
    let agent: &[(&str, &[u8])] = &[("x-agent-id", b"header"), ("user-agent", b"kubectl/1.37")];
    for (name, claims, headers, expected) in [
        (
            "a nested claim",
            json!({"act": {"sub": "bot"}, "azp": "app"}),
            agent,
            Some(("bot", "claim:act.sub", true)),
        ),
        ("the next claim", json!({"azp": "app"}), agent, Some(("app", "claim:azp", true))),
        ("a header", json!({}), agent, Some(("header", "header:x-agent-id", false))),
        ("the last header", json!({}), &agent[1..], Some(("kubectl/1.37", "header:user-agent", false))),
        (
            "a claim of another type is passed over",
            json!({"azp": ["app"]}),
            agent,
            Some(("header", "header:x-agent-id", false)),
        ),
        (
            "an empty claim is passed over",
            json!({"azp": " "}),
            agent,
            Some(("header", "header:x-agent-id", false)),
        ),
        ("a number", json!({"azp": 7}), agent, Some(("7", "claim:azp", true))),
        ("nothing", json!({}), &[], None),
    ] {
        let attribution = read(&defaults, claims, None, headers);
        assert_eq!(shown(attribution.agent.as_ref()), expected, "{name}");
    }
}

#[test]
fn a_signed_session_wins_over_the_path_and_the_path_over_headers() {
    let defaults = AttributionSources::default();
    let headers: &[(&str, &[u8])] = &[("kubectl-session", b"k-1"), ("kubectl-command", b"kubectl get")];
    let signed = read(&defaults, json!({"sid": "s-1"}), Some("p-1"), headers);
    assert_eq!(shown(signed.session.as_ref()), Some(("s-1", "claim:sid", true)));
    let path = read(&defaults, json!({}), Some("p-1"), headers);
    assert_eq!(shown(path.session.as_ref()), Some(("p-1", "path", false)));
    let header = read(&defaults, json!({}), None, headers);
    assert_eq!(shown(header.session.as_ref()), Some(("k-1", "header:kubectl-session", false)));
    assert_eq!(header.hints["kubectl-command"], "kubectl get");
}

#[test]
fn header_values_are_made_readable() {
    let defaults = AttributionSources::default();
    let long = [b'm'; 2000];
    for (name, value, expected) in [
        ("control characters", b"a\x1b[31mb".as_slice(), "a\u{fffd}[31mb"),
        ("not UTF-8", b"a\xffb", "a\u{fffd}b"),
        ("spaces", b"  m  ", "m"),
        ("a long one is cut", &long, &"m".repeat(512)),
    ] {
        let attribution = read(&defaults, json!({}), None, &[("x-agent-model", value)]);
        assert_eq!(attribution.model.unwrap().value, expected, "{name}");
    }
}

#[test]
fn what_is_required_must_be_known() {
    let model: &[(&str, &[u8])] = &[("x-agent-model", b"m")];
    let any = json!([{"values": ["model"], "verbs": ["create", "delete"]}]);
    let signed = json!([{"values": ["model"], "verified": true}]);
    let both = json!([{"values": ["model", "prompt"]}]);
    let needed = "create requests need a model; send it as claim model or header x-agent-model";
    let verified = "get requests need a verified model; send it as claim model";
    for (name, rules, claims, headers, verb, expected) in [
        ("there, by header", &any, json!({}), model, "create", None),
        ("there, by claim", &any, json!({"model": "m"}), &[], "create", None),
        ("missing", &any, json!({}), &[], "create", Some(needed)),
        ("missing, another verb", &any, json!({}), &[], "get", None),
        ("verified is wanted, a header says it", &signed, json!({}), model, "get", Some(verified)),
        ("verified is wanted, a claim says it", &signed, json!({"model": "m"}), &[], "get", None),
        (
            "one of two is missing",
            &both,
            json!({"model": "m"}),
            &[],
            "get",
            Some("claim prompt_sha256 or header x-agent-prompt-id"),
        ),
    ] {
        let sources = sources(json!({"require": rules}));
        let got = require(&sources, &read(&sources, claims, None, headers), verb);
        match expected {
            None => assert_eq!(got, Ok(()), "{name}"),
            Some(text) => {
                let refusal = got.unwrap_err();
                assert_eq!((refusal.status.code(), refusal.rule.as_str()), (400, "attribution.require"));
                assert!(refusal.status.message().contains(text), "{name}: {}", refusal.status.message());
            }
        }
    }
    let headers_only = sources(json!({"model": [{"header": "x-m"}], "require": signed}));
    let refusal = require(&headers_only, &Attribution::default(), "get").unwrap_err();
    assert!(refusal.status.message().ends_with("no claim is configured as its source"));
}
