#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;
use serde_json::json;
use std::time::Duration;

fn env(name: &str) -> Option<String> {
    match name {
        "CHAPERONE_UPSTREAM_TOKEN" | "CHAPERONE_COLLECTOR_TOKEN" => Some("t0ken\n".to_owned()),
        "CHAPERONE_SIGNING_KEY" => {
            Some("MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g".to_owned())
        }
        "SPACED" => Some("a b".to_owned()),
        _ => None,
    }
}

pub(crate) fn minimal() -> Value {
    json!({
        "apiVersion": API_VERSION, "kind": KIND,
        "authentication": {"jwt": [{"issuer": {"url": "https://idp.example.com", "audiences": ["kubernetes"], "cluster": "idp"}}]},
        "credential": {"bearerToken": {"env": "CHAPERONE_UPSTREAM_TOKEN"}},
        "recording": {
            "collector": {"cluster": "collector", "token": {"env": "CHAPERONE_COLLECTOR_TOKEN"}},
            "signingKey": {"env": "CHAPERONE_SIGNING_KEY"},
        },
    })
}

fn parse(value: &Value) -> Result<FilterConfig, Vec<String>> {
    FilterConfig::parse(value.to_string().as_bytes(), &env)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

#[test]
fn defaults_are_the_documented_ones() {
    let config = parse(&minimal()).unwrap();
    let jwt = &config.authentication.jwt[0];
    assert_eq!(jwt.issuer.discovery_url, "https://idp.example.com/.well-known/openid-configuration");
    assert_eq!(jwt.clock_skew, Duration::from_secs(30));
    assert_eq!(jwt.claim_mappings.username.claim, "sub");
    assert_eq!(config.access.default, Effect::Allow);
    assert_eq!(config.recording.collector.authority, "collector");
    assert_eq!(config.recording.collector.path, "/v1/records");
    assert_eq!(config.recording.limits.flush_interval, Duration::from_millis(200));
    assert_eq!(config.recording.rules.len(), 4);
    assert_eq!(config.credential.bearer_token.value.unwrap().expose(), b"t0ken");
    assert_eq!(config.digest.len(), 64);
}

#[test]
fn every_error_is_reported_with_its_path() {
    let mut value = minimal();
    value["colour"] = json!("red");
    value["authentication"]["jwt"][0]["issuer"]["audience"] = json!("x");
    value["authentication"]["jwt"][0]["clockSkew"] = json!("soon");
    value["recording"]["limits"] = json!({"batchBytes": "many"});
    value["access"] = json!({"default": "maybe", "rules": "all"});
    value["recording"]["collector"].as_object_mut().unwrap().remove("token");
    let problems = parse(&value).unwrap_err();
    for expected in [
        "colour: is not a known field; known here: apiVersion, kind, authentication, attribution, credential, access, masking, recording",
        "authentication.jwt[0].issuer.audience: is not a known field",
        "authentication.jwt[0].clockSkew: is not a duration",
        "recording.limits.batchBytes: must be a whole number, not a string",
        "access.default: must be one of allow, deny",
        "access.rules: must be a list, not a string",
        "recording.collector.token: is required",
    ] {
        assert!(problems.iter().any(|p| p.starts_with(expected)), "{expected}\n{problems:#?}");
    }
    assert_eq!(problems.len(), 7);
}

#[test]
fn values_that_do_not_fit_together_are_refused() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 23] = [
        ("authentication.jwt: needs", |v| v["authentication"]["jwt"] = json!([])),
        ("authentication.jwt[0].issuer.cluster: is required", |v| {
            v["authentication"]["jwt"][0]["issuer"]["cluster"] = Value::Null;
        }),
        ("authentication.jwt[0].issuer.audiences: needs", |v| {
            v["authentication"]["jwt"][0]["issuer"]["audiences"] = json!([])
        }),
        ("authentication.jwt[0].issuer.discoveryURL: must be", |v| {
            v["authentication"]["jwt"][0]["issuer"]["url"] = json!("idp")
        }),
        ("credential.bearerToken: is required", |v| v["credential"] = json!({})),
        ("credential.bearerToken.env: the environment variable NONE is not set", |v| {
            v["credential"]["bearerToken"]["env"] = json!("NONE")
        }),
        ("credential.bearerToken.env: the value of SPACED", |v| {
            v["credential"]["bearerToken"]["env"] = json!("SPACED")
        }),
        ("recording.signingKey.env: the value of SPACED is not", |v| {
            v["recording"]["signingKey"]["env"] = json!("SPACED")
        }),
        ("masking.replacement: is 4 bytes", |v| v["masking"] = json!({"replacement": "gone"})),
        ("access.rules[0]: needs resources", |v| v["access"] = json!({"rules": [{"effect": "deny"}]})),
        ("access.rules[0].nonResourceURLs[0]: \"/a*b\"", |v| {
            v["access"] = json!({"rules": [{"effect": "deny", "nonResourceURLs": ["/a*b"]}]});
        }),
        ("attribution.agent[0].header: carries credentials", |v| {
            v["attribution"] = json!({"agent": [{"header": "Authorization"}]})
        }),
        ("attribution.model[0].header: belongs to the request", |v| {
            v["attribution"] = json!({"model": [{"header": "content-type"}]})
        }),
        ("attribution.require[0].verbs[0]: \"GET\"", |v| {
            v["attribution"] = json!({"require": [{"values": ["model"], "verbs": ["GET"]}]});
        }),
        ("access.rules[0].verbs[0]: \"List\"", |v| {
            v["access"] = json!({"rules": [{"effect": "deny", "resources": ["pods"], "verbs": ["List"]}]});
        }),
        ("access.rules[0].resources[0]: \"Secrets\"", |v| {
            v["access"] = json!({"rules": [{"effect": "deny", "resources": ["Secrets"]}]});
        }),
        ("access.rules[0].resources[0]: \"pods/exec/x\"", |v| {
            v["access"] = json!({"rules": [{"effect": "deny", "resources": ["pods/exec/x"]}]});
        }),
        ("access.rules[0].namespaces[0]: \"kube-*\"", |v| {
            v["access"] =
                json!({"rules": [{"effect": "deny", "resources": ["pods"], "namespaces": ["kube-*"]}]});
        }),
        ("access.rules[0].apiGroups[0]: \"v1\"", |v| {
            v["access"] = json!({"rules": [{"effect": "deny", "resources": ["pods"], "apiGroups": ["v1"]}]});
        }),
        ("recording.rules[0].resources[0].resources[0]: \"Pods\"", |v| {
            v["recording"]["rules"] = json!([{"level": "Metadata", "resources": [{"resources": ["Pods"]}]}]);
        }),
        ("recording.collector.path: must be", |v| v["recording"]["collector"]["path"] = json!("/x\r\nA: b")),
        ("recording.collector.authority: must be", |v| {
            v["recording"]["collector"]["authority"] = json!("a b")
        }),
        ("authentication.jwt[0].issuer.jwks: is not", |v| {
            v["authentication"]["jwt"][0]["issuer"]["jwks"] = json!({"keys": 1});
        }),
    ];
    for (expected, change) in cases {
        let mut value = minimal();
        change(&mut value);
        let problems = parse(&value).unwrap_err();
        assert!(problems.iter().any(|p| p.starts_with(expected)), "{expected}: {problems:#?}");
    }
}

/// No message repeats what stood in a variable.
#[test]
fn secrets_are_never_printed() {
    let config = parse(&minimal()).unwrap();
    assert!(!format!("{config:?}").contains("t0ken"));
}

#[test]
fn durations_are_gos() {
    for (text, millis) in
        [("0", 0), ("200ms", 200), ("1.5s", 1500), ("2h45m", 9_900_000), (".5s", 500), ("1m0.25s", 60_250)]
    {
        assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
    }
    for bad in ["", "5", "s", "-1s", "1 s", "1d", "1..5s", ".s", "99999999999999999999h", "1s1"] {
        assert_eq!(parse_duration(bad), None, "{bad}");
    }
}

/// The schema and the reference page say what the code does. `UPDATE_GENERATED=1` writes them anew.
#[cfg(not(target_arch = "wasm32"))]
#[test]
fn generated_files_are_current() {
    let schema = serde_json::to_string_pretty(&schema::json_schema()).unwrap() + "\n";
    for (file, made) in
        [("filter-config/schema.json", schema), ("docs/configuration.md", schema::reference())]
    {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        if std::env::var_os("UPDATE_GENERATED").is_some() {
            std::fs::write(&path, &made).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == made,
            "{file} is out of date: run `UPDATE_GENERATED=1 cargo test -p chaperone-filter generated`"
        );
    }
}

#[test]
fn errors_of_shape_do_not_hide_errors_of_sense() {
    let mut value = minimal();
    value["colour"] = json!("red");
    value["recording"]["collector"]["timeout"] = json!("1");
    value["credential"]["bearerToken"]["env"] = json!("NONE");
    value["access"] = json!({"rules": [{"effect": "deny", "verbs": ["GET"], "resources": ["pods"]}]});
    let problems = parse(&value).unwrap_err();
    assert_eq!(problems.len(), 4, "{problems:#?}");
}

#[test]
fn a_section_that_is_there_twice_is_refused() {
    let text = minimal().to_string();
    let twice = text.replacen('{', r#"{"access":{"default":"deny"},"access":{"default":"allow"},"#, 1);
    let problems = FilterConfig::parse(twice.as_bytes(), &env).unwrap_err();
    assert!(problems[0].to_string().contains("twice: \"access\""), "{problems:?}");
}

/// A short form of the fuzz target `config`: whatever is changed, the answer is a configuration or errors with paths.
#[cfg(not(target_arch = "wasm32"))]
mod properties {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
            Just(json!("30s")),
            Just(json!("*")),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[a-zA-Z]{1,12}", inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
        found.push(at.to_owned());
        match value {
            Value::Object(map) => {
                map.iter().for_each(|(key, item)| pointers(item, &format!("{at}/{key}"), found))
            }
            Value::Array(items) => {
                items
                    .iter()
                    .enumerate()
                    .for_each(|(index, item)| pointers(item, &format!("{at}/{index}"), found));
            }
            _ => {}
        }
    }

    proptest! {
        #[test]
        fn a_changed_configuration_is_taken_or_refused_with_paths(place in any::<prop::sample::Index>(), new in value()) {
            let mut config = minimal();
            let mut places = Vec::new();
            pointers(&config, "", &mut places);
            *config.pointer_mut(place.get::<String>(&places)).unwrap() = new;
            if let Err(problems) = parse(&config) {
                prop_assert!(!problems.is_empty());
                prop_assert!(problems.iter().all(|problem| problem.contains(": ")), "{problems:?}");
                prop_assert!(problems.iter().all(|problem| !problem.contains("t0ken")), "a secret is in an error");
            }
        }

        #[test]
        fn any_bytes_are_taken_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(FilterConfig::parse(&bytes, &env).is_err());
        }
    }
}
