//! What a right signature does not make good: claims, and their times.

use super::*;

/// What a right signature does not make good: the claims.
pub(super) fn claims(agent: &Agent) -> Vec<Row> {
    let url = agent.issuer.url();
    let mut rows = Vec::new();
    for (name, iss) in [
        ("iss of a stranger", json!("https://evil.example")),
        ("iss with a slash behind", json!(format!("{url}/"))),
        ("iss in other case", json!(url.to_uppercase())),
        ("iss of another scheme", json!(url.replace("http:", "https:"))),
        ("iss that begins right", json!(format!("{url}.evil.example"))),
        ("iss with a user", json!(url.replace("http://", "http://x@"))),
    ] {
        rows.push(row(name, with(agent.with_claims(&json!({"iss": iss}))), refused("tokenIssuer")));
    }
    for (name, changes) in [
        ("aud of another service", json!({"aud": "billing"})),
        ("aud in other case", json!({"aud": "Kubernetes"})),
        ("aud that begins right", json!({"aud": "kubernetes-admin"})),
        ("aud with a space", json!({"aud": "kubernetes "})),
        ("aud list without ours", json!({"aud": ["billing", "kube"]})),
        ("aud list, empty", json!({"aud": []})),
    ] {
        rows.push(row(name, with(agent.with_claims(&changes)), refused("tokenAudience")));
    }
    for (name, changes) in [
        ("no iss", json!({"iss": null})),
        ("no aud", json!({"aud": null})),
        ("no exp", json!({"exp": null})),
        ("no sub", json!({"sub": null})),
        ("sub empty", json!({"sub": ""})),
        ("sub with a line break", json!({"sub": "alice\r\nX-Remote-User: admin"})),
        ("sub with NUL", json!({"sub": "alice\u{0}admin"})),
        ("sub of 1025 bytes", json!({"sub": "a".repeat(1025)})),
        ("groups a number", json!({"groups": 7})),
        ("groups an object", json!({"groups": {"a": true}})),
        ("groups with a number", json!({"groups": ["a", 7]})),
        ("groups with a line break", json!({"groups": ["a\nb"]})),
        ("groups nested", json!({"groups": [["system:masters"]]})),
        ("1001 groups", json!({"groups": vec!["g"; 1001]})),
        ("exp in the year 300000", json!({"exp": 1e13})),
    ] {
        rows.push(row(name, with(agent.with_claims(&changes)), refused("tokenClaims")));
    }
    for (name, changes) in [
        ("iss a list", json!({"iss": [url]})),
        ("sub a number", json!({"sub": 7})),
        ("sub an object", json!({"sub": {"name": "admin"}})),
        ("aud a number", json!({"aud": 1})),
        ("exp negative", json!({"exp": -1})),
        ("exp text", json!({"exp": "9999999999"})),
        ("exp a list", json!({"exp": [9_999_999_999_u64]})),
        ("nbf text", json!({"nbf": "0"})),
        ("iat true", json!({"iat": true})),
        ("jti an object", json!({"jti": {}})),
    ] {
        rows.push(row(name, with(agent.with_claims(&changes)), refused("tokenMalformed")));
    }
    let good = agent.claims().to_string();
    let rest = &good[1..];
    for (name, payload) in [
        ("sub twice", format!(r#"{{"sub":"admin",{rest}"#)),
        ("sub twice, once escaped", format!(r#"{{"\u0073ub":"admin",{rest}"#)),
        ("exp twice", format!(r#"{{"exp":99999999999,{rest}"#)),
        ("a member twice, deep inside", format!(r#"{{"act":{{"sub":"a","sub":"b"}},{rest}"#)),
        ("nested 17 deep", format!(r#"{{"x":{}{},{rest}"#, "[".repeat(17), "]".repeat(17))),
        ("exp Infinity", format!(r#"{{"x":Infinity,{rest}"#)),
        ("exp 1e999", format!(r#"{{"x":1e999,{rest}"#)),
        ("cut off", good[..good.len() - 1].to_owned()),
        ("a comma too many", format!(r#"{{"x":1,,{rest}"#)),
        ("a comment", format!(r#"{{/**/{rest}"#)),
        ("an array", "[]".to_owned()),
        ("null", "null".to_owned()),
        ("empty", String::new()),
        ("a token in the token", agent.token.clone()),
        ("a lone surrogate", format!(r#"{{"x":"\ud800",{rest}"#)),
    ] {
        rows.push(row(
            format!("claims: {name}"),
            with(agent.with_payload(&payload)),
            refused("tokenMalformed"),
        ));
    }
    rows
}

/// Far from the clock skew.
pub(super) fn times(agent: &Agent) -> Vec<Row> {
    let now = now();
    let mut rows = Vec::new();
    for (name, changes, reason) in [
        ("expired an hour ago", json!({"exp": (now - 3600.0).floor()}), "tokenExpired"),
        ("expired in 1970", json!({"exp": 0}), "tokenExpired"),
        ("valid from far ahead", json!({"nbf": (now + 3600.0).floor()}), "tokenNotYetValid"),
        ("issued far ahead", json!({"iat": (now + 3600.0).floor()}), "tokenNotYetValid"),
    ] {
        rows.push(row(name, with(agent.with_claims(&changes)), refused(reason)));
    }
    rows
}
