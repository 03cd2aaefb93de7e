#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::issuer::*;
use crate::identity::Authenticator;
use serde_json::{Value, json};

#[test]
fn times_within_the_skew() {
    for (name, claim, value, expected) in [
        ("no exp", "exp", Value::Null, "tokenClaims"),
        ("exp in a while", "exp", json!(NOW + 1), "ok"),
        ("exp now", "exp", json!(NOW), "ok"),
        ("expired by a second less than the skew", "exp", json!(NOW - 29), "ok"),
        ("expired by the skew", "exp", json!(NOW - 30), "tokenExpired"),
        ("expired by a second more than the skew", "exp", json!(NOW - 31), "tokenExpired"),
        ("expired long ago", "exp", json!(1), "tokenExpired"),
        ("exp of zero", "exp", json!(0), "tokenExpired"),
        ("exp with a fraction", "exp", json!(1_893_455_970.5), "ok"),
        ("exp with a fraction, expired", "exp", json!(1_893_455_969.5), "tokenExpired"),
        ("exp in the year 9999", "exp", json!(253_402_300_799_u64), "ok"),
        ("exp past the year 9999", "exp", json!(253_402_300_800_u64), "tokenClaims"),
        ("exp in milliseconds", "exp", json!((NOW + 300) * 1000), "tokenClaims"),
        ("exp is negative", "exp", json!(-1), "tokenMalformed"),
        ("nbf now", "nbf", json!(NOW), "ok"),
        ("nbf within the skew", "nbf", json!(NOW + 30), "ok"),
        ("nbf a second past the skew", "nbf", json!(NOW + 31), "tokenNotYetValid"),
        ("no iat", "iat", Value::Null, "ok"),
        ("iat within the skew", "iat", json!(NOW + 30), "ok"),
        ("issued in the future", "iat", json!(NOW + 31), "tokenNotYetValid"),
        ("issued long ago", "iat", json!(0), "ok"),
    ] {
        assert_eq!(code(&ask(&sign(&header(), &with(claim, value)))), expected, "{name}");
    }
    let mut strict = authenticator(|jwt| jwt["clockSkew"] = json!("0s"));
    for (exp, expected) in [(NOW + 1, "ok"), (NOW, "tokenExpired")] {
        let got = answer(&mut strict, at(NOW), &sign(&header(), &with("exp", json!(exp))));
        assert_eq!(code(&got), expected, "{exp}");
    }
    // A host whose clock can't be read says 1970.
    let got = answer(&mut authenticator(|_| ()), at(0), &sign(&header(), &claims()));
    assert_eq!(code(&got), "tokenNotYetValid");
}

#[test]
fn issuer_and_audience() {
    for (name, claim, value, expected) in [
        ("no iss", "iss", Value::Null, "tokenClaims"),
        ("another iss", "iss", json!("https://evil.example.com"), "tokenIssuer"),
        ("iss with a slash", "iss", json!("https://idp.example.com/"), "tokenIssuer"),
        ("iss in capitals", "iss", json!("https://IDP.example.com"), "tokenIssuer"),
        ("iss with something behind it", "iss", json!("https://idp.example.com.evil"), "tokenIssuer"),
        ("an empty iss", "iss", json!(""), "tokenIssuer"),
        ("no aud", "aud", Value::Null, "tokenClaims"),
        ("the other audience", "aud", json!("chaperone"), "ok"),
        ("one of several", "aud", json!(["x", "kubernetes"]), "ok"),
        ("none of several", "aud", json!(["x", "y"]), "tokenAudience"),
        ("an empty list", "aud", json!([]), "tokenAudience"),
        ("another audience", "aud", json!("kubernetes2"), "tokenAudience"),
        ("aud in capitals", "aud", json!("Kubernetes"), "tokenAudience"),
        ("a list with a number", "aud", json!(["kubernetes", 7]), "tokenMalformed"),
        ("several in one string", "aud", json!("kubernetes chaperone"), "tokenAudience"),
    ] {
        assert_eq!(code(&ask(&sign(&header(), &with(claim, value)))), expected, "{name}");
    }
}

#[test]
fn claims_become_the_user() {
    let mapped = |mappings: Value, claims: &Value| {
        let mut authenticator = authenticator(|jwt| jwt["claimMappings"] = mappings);
        let got = answer(&mut authenticator, at(NOW), &sign(&header(), claims));
        got.map(|identity| {
            let user = &identity.user;
            format!("{}|{}|{}", user.username, user.uid, user.groups.join(","))
        })
        .map_err(|error| error.code())
    };
    let by = |claim: &str| json!({"username": {"claim": claim}});
    let groups = |claim: &str| json!({"groups": {"claim": claim, "prefix": "oidc:"}});
    for (name, mappings, changed, expected) in [
        ("the defaults", json!({}), claims(), Ok("agent-7|agent-7|agents")),
        (
            "a prefix",
            json!({"username": {"claim": "sub", "prefix": "idp#"}}),
            claims(),
            Ok("idp#agent-7|agent-7|agents"),
        ),
        (
            "a nested username",
            by("act.who.name"),
            with("act", json!({"who": {"name": "n"}})),
            Ok("n|agent-7|agents"),
        ),
        (
            "a name with dots",
            by("https://x.org/name"),
            with("https://x.org/name", json!("n")),
            Ok("n|agent-7|agents"),
        ),
        ("no username", by("email"), claims(), Err("tokenClaims")),
        ("no sub", json!({}), with("sub", Value::Null), Err("tokenClaims")),
        ("an empty username", by("email"), with("email", json!("")), Err("tokenClaims")),
        ("a username that is a list", by("email"), with("email", json!(["n"])), Err("tokenClaims")),
        ("a username that is an object", by("act"), with("act", json!({"sub": "n"})), Err("tokenClaims")),
        ("a long username", by("email"), with("email", json!("n".repeat(1025))), Err("tokenClaims")),
        (
            "a username with a line break",
            by("email"),
            with("email", json!("n\r\nImpersonate-User: x")),
            Err("tokenClaims"),
        ),
        ("groups as a string", json!({}), with("groups", json!("one")), Ok("agent-7|agent-7|one")),
        (
            "groups as a list, prefixed",
            groups("groups"),
            with("groups", json!(["a", "b"])),
            Ok("agent-7|agent-7|oidc:a,oidc:b"),
        ),
        (
            "nested groups",
            groups("realm.roles"),
            with("realm", json!({"roles": ["r"]})),
            Ok("agent-7|agent-7|oidc:r"),
        ),
        ("no groups", groups("none"), claims(), Ok("agent-7|agent-7|")),
        ("an empty group", json!({}), with("groups", json!(["", "a"])), Ok("agent-7|agent-7|a")),
        ("a group that is a number", json!({}), with("groups", json!(["a", 1])), Err("tokenClaims")),
        ("groups as an object", json!({}), with("groups", json!({"a": true})), Err("tokenClaims")),
        (
            "a group with a control character",
            json!({}),
            with("groups", json!(["a\u{7f}"])),
            Err("tokenClaims"),
        ),
        ("too many groups", json!({}), with("groups", json!(vec!["g"; 1001])), Err("tokenClaims")),
        (
            "a uid of its own",
            json!({"uid": {"claim": "oid"}}),
            with("oid", json!("u-1")),
            Ok("agent-7|u-1|agents"),
        ),
        ("no uid", json!({"uid": {"claim": "oid"}}), claims(), Ok("agent-7||agents")),
        (
            "a uid that is a number",
            json!({"uid": {"claim": "oid"}}),
            with("oid", json!(1)),
            Err("tokenClaims"),
        ),
    ] {
        assert_eq!(mapped(mappings, &changed), expected.map(str::to_owned), "{name}");
    }
}

#[test]
fn several_issuers_each_with_its_own_keys_audience_and_prefix() {
    let second = "https://second.example.com";
    let config = json!({"jwt": [
        {"issuer": {"url": URL, "audiences": ["kubernetes"], "jwks": {"keys": [jwk(1, "one")]}},
            "claimMappings": {"username": {"claim": "sub", "prefix": "first:"}}},
        {"issuer": {"url": second, "audiences": ["other"], "jwks": {"keys": [jwk(2, "one")]}},
            "claimMappings": {"username": {"claim": "sub", "prefix": "second:"}}},
    ]});
    let mut authenticator = Authenticator::new(&serde_json::from_value(config).unwrap()).unwrap();
    let of = |iss: &str, aud: &str| json!({"iss": iss, "aud": aud, "sub": "a", "exp": NOW + 300}).to_string();
    let head = header().to_string();
    for (name, seed, iss, aud, expected) in [
        ("the first's", 1, URL, "kubernetes", Ok("first:a")),
        ("the second's", 2, second, "other", Ok("second:a")),
        ("the second's key in the first's name", 2, URL, "kubernetes", Err("tokenSignature")),
        ("the first's key in the second's name", 1, second, "other", Err("tokenSignature")),
        ("the first's audience at the second", 2, second, "kubernetes", Err("tokenAudience")),
    ] {
        let got = answer(&mut authenticator, at(NOW), &sign_text(seed, &head, &of(iss, aud)));
        let got = got.as_ref().map(|identity| identity.user.username.as_str()).map_err(|error| error.code());
        assert_eq!(got, expected, "{name}");
    }
}
