use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use jwt_simple::algorithms::{
    ECDSAP256PublicKeyLike, ECDSAP384PublicKeyLike, EdDSAPublicKeyLike, RSAPublicKeyLike,
};
use jwt_simple::prelude::{
    ES256PublicKey, ES384PublicKey, Ed25519PublicKey, NoCustomClaims, PS256PublicKey, RS256PublicKey,
};
use tokio::net::TcpStream;

use super::*;

async fn ask(issuer: &Issuer, method: &str, path: &str, body: &str) -> (u16, String) {
    let stream = TcpStream::connect(issuer.address()).await.expect("it listens");
    let (mut client, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("it speaks HTTP");
    tokio::spawn(connection);
    let request = hyper::Request::builder()
        .method(method)
        .uri(path)
        .header("host", "issuer")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body.to_owned())))
        .expect("a request");
    let response = client.send_request(request).await.expect("a response");
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

fn published<'a>(set: &'a Value, kty: &str) -> Option<&'a Value> {
    set["keys"].as_array()?.iter().find(|key| key["kty"] == kty)
}

/// Whether the set's key for this algorithm verifies the token, as an independent library sees it.
fn verifies(set: &Value, alg: Alg, token: &str) -> bool {
    let keys = set["keys"].as_array().expect("keys");
    let key = keys.iter().find(|key| key["alg"] == alg.name());
    let Some(jwk) = key.map(ToString::to_string) else { return false };
    match alg {
        Alg::Es256 => ES256PublicKey::from_jwk(&jwk)
            .is_ok_and(|key| key.verify_token::<NoCustomClaims>(token, None).is_ok()),
        Alg::Es384 => ES384PublicKey::from_jwk(&jwk)
            .is_ok_and(|key| key.verify_token::<NoCustomClaims>(token, None).is_ok()),
        Alg::Ps256 => PS256PublicKey::from_jwk(&jwk)
            .is_ok_and(|key| key.verify_token::<NoCustomClaims>(token, None).is_ok()),
        Alg::EdDsa => Ed25519PublicKey::from_jwk(&jwk)
            .is_ok_and(|key| key.verify_token::<NoCustomClaims>(token, None).is_ok()),
        Alg::Rs256 => RS256PublicKey::from_jwk(&jwk)
            .is_ok_and(|key| key.verify_token::<NoCustomClaims>(token, None).is_ok()),
    }
}

fn payload(token: &str) -> Value {
    let payload = token.split('.').nth(1).expect("a payload");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON")
}

#[tokio::test]
async fn the_published_keys_verify_what_is_minted() {
    let issuer = Issuer::start().await.expect("an issuer");
    assert!(published(&issuer.jwks(), "RSA").is_none(), "no RSA key before one is needed");
    for alg in [Alg::Es256, Alg::Es384, Alg::EdDsa, Alg::Rs256, Alg::Ps256] {
        let token = issuer.mint(&Claims::new("alice").algorithm(alg));
        assert!(verifies(&issuer.jwks(), alg, &token), "{}", alg.name());
        let expired =
            issuer.mint(&Claims::new("alice").expired_ago(Duration::from_secs(3600)).algorithm(alg));
        assert!(!verifies(&issuer.jwks(), alg, &expired), "{} after its end", alg.name());
    }
}

#[tokio::test]
async fn claims_say_what_was_asked_and_no_more() {
    let issuer = Issuer::start().await.expect("an issuer");
    let claims = Claims::new("alice")
        .groups(["dev", "ops"])
        .session("s1")
        .model("m1")
        .prompt_sha256("00")
        .agent("planner")
        .extra("aud", json!(["a", "b"]))
        .without("nbf");
    let said = payload(&issuer.mint(&claims));
    for (name, value) in [
        ("iss", json!(issuer.url())),
        ("sub", json!("alice")),
        ("groups", json!(["dev", "ops"])),
        ("sid", json!("s1")),
        ("model", json!("m1")),
        ("prompt_sha256", json!("00")),
        ("act", json!({"sub": "planner"})),
        ("aud", json!(["a", "b"])),
        ("nbf", Value::Null),
    ] {
        assert_eq!(said[name], value, "{name}");
    }
    let [issued, expiry] = ["iat", "exp"].map(|name| said[name].as_i64().expect("seconds"));
    assert_eq!(expiry - issued, 600);
    let other = payload(&issuer.mint(&claims));
    assert_ne!(said["jti"], other["jti"], "every token has an id of its own");
}

#[tokio::test]
async fn a_raw_signature_covers_any_header_and_payload() {
    let issuer = Issuer::start().await.expect("an issuer");
    let token = issuer.sign_raw(Alg::Es256, &json!({"alg": "none", "crit": ["x"]}), b"not json");
    let (message, signature) = token.rsplit_once('.').expect("three parts");
    let key = published(&issuer.jwks(), "EC").cloned().expect("a key");
    let point: Vec<u8> = std::iter::once(4)
        .chain(["x", "y"].iter().flat_map(|part| {
            URL_SAFE_NO_PAD.decode(key[*part].as_str().expect("a coordinate")).expect("base64url")
        }))
        .collect();
    let verifier = ring::signature::UnparsedPublicKey::new(&ring::signature::ECDSA_P256_SHA256_FIXED, point);
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    assert!(verifier.verify(message.as_bytes(), &signature).is_ok());
    assert!(message.ends_with(&encoded(b"not json")));
}

#[tokio::test]
async fn rotation_replaces_the_keys_and_may_keep_the_old() {
    let issuer = Issuer::start().await.expect("an issuer");
    let first = issuer.key_id(Alg::Es256);
    let listed = |id: &str| {
        issuer.jwks()["keys"].as_array().is_some_and(|keys| keys.iter().any(|key| key["kid"] == id))
    };
    issuer.rotate_keeping_old();
    let second = issuer.key_id(Alg::Es256);
    assert!(listed(&first) && listed(&second));
    issuer.rotate();
    assert!(!listed(&first) && !listed(&second) && listed(&issuer.key_id(Alg::Es256)));
}

#[tokio::test]
async fn documents_are_served_counted_and_withheld() {
    let issuer = Issuer::start().await.expect("an issuer");
    let (status, body) = ask(&issuer, "GET", "/.well-known/openid-configuration", "").await;
    let document: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!((status, &document["issuer"]), (200, &json!(issuer.url())));
    let path = document["jwks_uri"]
        .as_str()
        .and_then(|uri| uri.strip_prefix(issuer.url()))
        .expect("its own key set");
    let (status, body) = ask(&issuer, "GET", path, "").await;
    assert_eq!((status, serde_json::from_str(&body).ok()), (200, Some(issuer.jwks())));
    issuer.fail(true);
    assert_eq!(ask(&issuer, "GET", path, "").await.0, 500);
    issuer.fail(false);
    assert_eq!(ask(&issuer, "GET", path, "").await.0, 200);
    assert_eq!(issuer.fetches(), Fetches { discovery: 1, jwks: 3 });
}

#[tokio::test]
async fn minting_over_http_takes_claims_and_an_algorithm() {
    let issuer = Issuer::start().await.expect("an issuer");
    for (query, alg) in [("", Alg::Es256), ("?alg=EdDSA", Alg::EdDsa)] {
        let (status, token) = ask(&issuer, "POST", &format!("/mint{query}"), r#"{"sub":"alice"}"#).await;
        assert_eq!(status, 200);
        assert!(verifies(&issuer.jwks(), alg, &token), "{query}");
        assert_eq!(payload(&token)["sub"], "alice");
    }
    assert_eq!(ask(&issuer, "POST", "/mint?alg=none", "{}").await.0, 400);
}
