#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::issuer::*;
use crate::identity::NoHost;
use serde_json::{Value, json};

#[test]
fn what_stands_in_authorization() {
    let token = sign(&header(), &claims());
    let bearer = format!("Bearer {token}");
    for (name, values, code) in [
        ("nothing", vec![], "tokenMissing"),
        ("one token", vec![bearer.clone()], "ok"),
        ("scheme in lower case", vec![format!("bearer {token}")], "ok"),
        ("spaces around", vec![format!(" BEARER   {token} ")], "ok"),
        ("two headers", vec![bearer.clone(), bearer.clone()], "tokenMultiple"),
        ("two headers, one empty", vec![bearer.clone(), String::new()], "tokenMultiple"),
        ("two tokens joined by a comma", vec![format!("{bearer},{bearer}")], "tokenMultiple"),
        ("a token and Basic joined", vec![format!("Basic eDp5, {bearer}")], "tokenMultiple"),
        ("Basic", vec!["Basic eDp5".to_owned()], "tokenMissing"),
        ("no scheme", vec![token.clone()], "tokenMissing"),
        ("empty", vec![String::new()], "tokenMissing"),
        ("the scheme alone", vec!["Bearer ".to_owned()], "tokenMissing"),
        ("a tab for the space", vec![format!("Bearer\t{token}")], "tokenMissing"),
        ("two tokens", vec![format!("{bearer} {token}")], "tokenMalformed"),
        ("a service account's opaque token", vec!["Bearer abcdef".to_owned()], "tokenMalformed"),
    ] {
        let values: Vec<&[u8]> = values.iter().map(String::as_bytes).collect();
        let got = authenticator(|_| ()).authenticate(at(NOW), &values, &NoHost);
        assert_eq!(super::issuer::code(&got), code, "{name}");
    }
    let bytes: &[u8] = b"Bearer \xff\xfe";
    let got = authenticator(|_| ()).authenticate(at(NOW), &[bytes], &NoHost);
    assert_eq!(super::issuer::code(&got), "tokenMalformed");
}

#[test]
fn tokens_of_another_form_are_refused() {
    let good = sign(&header(), &claims());
    let parts: Vec<&str> = good.split('.').collect();
    let claims_text = claims().to_string();
    let inner = claims_text.trim_start_matches('{').trim_end_matches('}');
    let signed = |header: &str, claims: &str| sign_text(1, header, claims);
    let head = header().to_string();
    let big = "x".repeat(20_000);
    let deep = format!("{{\"a\":{}1{},{inner}}}", "[".repeat(40), "]".repeat(40));
    for (name, token) in [
        ("one part", parts[0].to_owned()),
        ("two parts", parts[..2].join(".")),
        ("four parts", format!("{good}.x")),
        ("five parts, as JWE has", format!("{}.a.b", good)),
        ("only dots", "..".to_owned()),
        ("padded base64", format!("{}=.{}.{}", parts[0], parts[1], parts[2])),
        ("standard base64", format!("{}.{}.{}+", parts[0], parts[1], parts[2])),
        ("a space inside", format!("{}. {}.{}", parts[0], parts[1], parts[2])),
        ("oversized", signed(&head, &json!({"sub": big}).to_string())),
        (
            "an oversized header",
            signed(&json!({"alg": "EdDSA", "x": "y".repeat(7000)}).to_string(), &claims_text),
        ),
        ("claims that are a list", signed(&head, "[]")),
        ("claims that are a string", signed(&head, "\"x\"")),
        ("claims that are another token (nested)", signed(&head, &good)),
        ("claims that are not UTF-8", signed(&head, "{\"iss\":\"\\ud800\"}")),
        ("claims with something behind them", signed(&head, &format!("{claims_text} {{}}"))),
        ("claims nested too deep", signed(&head, &deep)),
        ("sub twice", signed(&head, &format!("{{\"sub\":\"admin\",{inner}}}"))),
        ("exp twice", signed(&head, &format!("{{{inner},\"exp\":9999999999}}"))),
        ("a nested member twice", signed(&head, &format!("{{\"act\":{{\"sub\":1,\"sub\":2}},{inner}}}"))),
        ("sub twice, once escaped", signed(&head, &format!("{{\"s\\u0075b\":\"admin\",{inner}}}"))),
        ("alg twice", signed("{\"alg\":\"none\",\"alg\":\"EdDSA\",\"kid\":\"one\"}", &claims_text)),
        ("kid twice", signed("{\"alg\":\"EdDSA\",\"kid\":\"x\",\"kid\":\"one\"}", &claims_text)),
        ("a header that is no object", signed("[]", &claims_text)),
        ("no alg", signed("{\"kid\":\"one\"}", &claims_text)),
        ("alg is a number", signed("{\"alg\":1,\"kid\":\"one\"}", &claims_text)),
        ("sub is a number", signed(&head, &with("sub", json!(7)).to_string())),
        ("aud is a number", signed(&head, &with("aud", json!(7)).to_string())),
        ("exp is a string", signed(&head, &with("exp", json!("1893456300")).to_string())),
    ] {
        let got = ask(&token);
        assert_eq!(code(&got), "tokenMalformed", "{name}");
    }
}

#[test]
fn header_parameters() {
    for (name, parameter, value, expected) in [
        ("typ JWT", "typ", json!("JWT"), "ok"),
        ("typ in lower case", "typ", json!("jwt"), "ok"),
        ("an access token, RFC 9068", "typ", json!("at+jwt"), "ok"),
        ("no typ", "typ", Value::Null, "ok"),
        ("typ of a DPoP proof", "typ", json!("dpop+jwt"), "tokenMalformed"),
        ("typ of a logout token", "typ", json!("logout+jwt"), "tokenMalformed"),
        ("typ of an encrypted token", "typ", json!("JWE"), "tokenMalformed"),
        ("typ is a list", "typ", json!(["JWT"]), "tokenMalformed"),
        ("crit", "crit", json!(["exp"]), "tokenMalformed"),
        ("an empty crit", "crit", json!([]), "tokenMalformed"),
        ("b64, RFC 7797", "b64", json!(false), "tokenMalformed"),
        ("zip", "zip", json!("DEF"), "tokenMalformed"),
        ("enc", "enc", json!("A128GCM"), "tokenMalformed"),
        ("cty of a nested token", "cty", json!("JWT"), "tokenMalformed"),
        ("no kid", "kid", Value::Null, "ok"),
        ("kid of no key", "kid", json!("two"), "tokenKey"),
        ("kid of a file", "kid", json!("../../../../dev/null"), "tokenKey"),
        ("kid of a query", "kid", json!("x' UNION SELECT 'k'--"), "tokenKey"),
        ("kid of a URL", "kid", json!("https://evil.example.com/jwks"), "tokenKey"),
        ("an empty kid", "kid", json!(""), "tokenKey"),
        ("kid with a NUL", "kid", json!("one\u{0}"), "tokenKey"),
        ("kid in another case", "kid", json!("ONE"), "tokenKey"),
        ("kid is a list", "kid", json!(["one"]), "tokenMalformed"),
        ("kid is a number", "kid", json!(1), "tokenMalformed"),
        ("a long kid", "kid", json!("k".repeat(513)), "tokenMalformed"),
        ("a key in the header", "jwk", jwk(2, "one"), "tokenMalformed"),
        ("a key set's URL, which is not fetched", "jku", json!("https://evil.example.com/"), "ok"),
        ("a certificate's URL, which is not fetched", "x5u", json!("https://evil.example.com/"), "ok"),
        ("a thumbprint", "x5t", json!("abc"), "ok"),
    ] {
        let mut header = header();
        header[parameter] = value;
        header.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let got = ask(&sign(&header, &claims()));
        assert_eq!(code(&got), expected, "{name}");
    }
}

/// A key that the token itself brings is never used.
#[test]
fn a_token_signed_with_a_key_it_names_is_refused() {
    for (parameter, value) in
        [("jku", json!("https://evil.example.com/jwks")), ("x5u", json!("https://evil.example.com/"))]
    {
        let mut header = header();
        header[parameter] = value;
        let token = sign_text(2, &header.to_string(), &claims().to_string());
        assert_eq!(code(&ask(&token)), "tokenSignature", "{parameter}");
    }
}

/// What an agent or an operator reads never holds any of the token.
#[test]
fn no_refusal_repeats_the_token() {
    let secret = "s3cr3t-canary";
    for token in [
        secret.to_owned(),
        sign(&header(), &with("iss", json!(secret))),
        sign(&header(), &with("aud", json!(secret))),
        sign(&json!({"alg": secret, "kid": "one"}), &claims()),
        sign(&json!({"alg": "EdDSA", "kid": secret}), &claims()),
        sign(&json!({"alg": "EdDSA", "typ": secret}), &claims()),
    ] {
        let refusal = crate::kube::Refusal::from(ask(&token).unwrap_err());
        assert_eq!(refusal.status.code(), 401);
        assert!(!format!("{refusal:?}").contains(secret));
        let challenge = ("www-authenticate", "Bearer error=\"invalid_token\"".to_owned());
        assert!(refusal.headers.contains(&challenge));
    }
}
