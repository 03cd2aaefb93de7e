//! Tokens that are forged, stale, or could be read two ways.

mod claims;

use super::request::Request;
use super::{Agent, Expect, Row, arrives, get, pods, row};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chaperone_test_harness::issuer::Alg;
use jiff::Timestamp;
use jwt_simple::prelude::Ed25519KeyPair;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};

const PODS: &str = "/api/v1/namespaces/orders/pods";
/// The filter's default.
const SKEW: f64 = 30.0;

fn refused(reason: &'static str) -> Expect {
    Expect::Refused(401, "authentication", reason)
}

fn now() -> f64 {
    Timestamp::now().as_duration().as_secs_f64()
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Agent<'_> {
    /// A good token's header.
    fn header(&self, alg: Alg) -> Value {
        json!({"alg": alg.name(), "kid": self.issuer.key_id(alg), "typ": "JWT"})
    }

    /// A good token's claims.
    fn claims(&self) -> Value {
        let now = now().floor();
        json!({"iss": self.issuer.url(), "aud": "kubernetes", "sub": "alice", "iat": now, "nbf": now, "exp": now + 600.0,
               "jti": "0123", "sid": "hostile", "groups": ["developers"], "model": "m", "prompt_sha256": "00"})
    }

    /// A token that is signed right, with some claims changed; null takes one out.
    fn with_claims(&self, changes: &Value) -> String {
        self.issuer.sign_raw(
            Alg::Es256,
            &self.header(Alg::Es256),
            changed(self.claims(), changes).to_string().as_bytes(),
        )
    }

    /// A token that is signed right, with some of its header changed.
    fn with_header(&self, alg: Alg, changes: &Value) -> String {
        let header = changed(self.header(alg), changes);
        self.issuer.sign_raw(alg, &header, self.claims().to_string().as_bytes())
    }

    /// A token whose claims are this text.
    fn with_payload(&self, payload: &str) -> String {
        self.issuer.sign_raw(Alg::Es256, &self.header(Alg::Es256), payload.as_bytes())
    }

    /// Any header, with the signature that `sign` makes of it and good claims.
    fn signed_by(&self, header: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
        let message = format!("{}.{}", encoded(header.to_string()), encoded(self.claims().to_string()));
        let signature = encoded(sign(message.as_bytes()));
        format!("{message}.{signature}")
    }

    fn jwk(&self, alg: Alg) -> Value {
        let set = self.issuer.jwks();
        let keys = set["keys"].as_array().expect("keys");
        keys.iter().find(|key| key["alg"] == alg.name()).expect("a key").clone()
    }
}

fn changed(mut object: Value, changes: &Value) -> Value {
    let members = object.as_object_mut().expect("an object");
    for (name, value) in changes.as_object().expect("an object") {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    object
}

fn with(token: impl Into<String>) -> Request {
    pods().token(token)
}

pub(super) fn rows(agent: &Agent) -> Vec<Row> {
    [
        credentials(agent),
        forged(agent),
        headers(agent),
        claims::claims(agent),
        claims::times(agent),
        accepted(agent),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What stands in `Authorization`.
fn credentials(agent: &Agent) -> Vec<Row> {
    let none = || pods().without("authorization");
    let token = &agent.token;
    let (head, signature) = token.rsplit_once('.').expect("three parts");
    let (_, payload) = head.split_once('.').expect("three parts");
    let mut rows = vec![
        row("no token", none(), refused("tokenMissing")),
        row("no token for a URL", get("/version").without("authorization"), refused("tokenMissing")),
        row(
            "twice the same",
            pods().header(format!("Authorization: Bearer {token}")),
            refused("tokenMultiple"),
        ),
        row("a second one, Basic", pods().header("Authorization: Basic YTpi"), refused("tokenMultiple")),
        row(
            "two in one line",
            none().header(format!("Authorization: Bearer {token}, Bearer {token}")),
            refused("tokenMultiple"),
        ),
        row(
            "folded by a second header in lower case",
            pods().header("authorization: Bearer x"),
            refused("tokenMultiple"),
        ),
        row(
            "in the query only",
            get(&format!("{PODS}?access_token={token}")).without("authorization"),
            refused("tokenMissing"),
        ),
        row("in a cookie only", none().header(format!("Cookie: token={token}")), refused("tokenMissing")),
        row(
            "as a proxy's",
            none().header(format!("Proxy-Authorization: Bearer {token}")),
            refused("tokenMissing"),
        ),
        row(
            "in the WebSocket subprotocol only",
            none().header(format!(
                "Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.{}",
                encoded(token)
            )),
            refused("tokenMissing"),
        ),
    ];
    for (name, value, reason) in [
        ("empty", "Authorization:".to_owned(), "tokenMissing"),
        ("the scheme alone", "Authorization: Bearer".to_owned(), "tokenMissing"),
        ("Basic", "Authorization: Basic YWxpY2U6c2VjcmV0".to_owned(), "tokenMissing"),
        ("Negotiate", "Authorization: Negotiate YII".to_owned(), "tokenMissing"),
        ("no scheme", format!("Authorization: {token}"), "tokenMissing"),
        ("a tab for the space", format!("Authorization: Bearer\t{token}"), "tokenMissing"),
        ("scheme twice", format!("Authorization: Bearer Bearer {token}"), "tokenMalformed"),
        ("parameters behind it", format!("Authorization: Bearer {token} x=y"), "tokenMalformed"),
        ("quoted", format!("Authorization: Bearer \"{token}\""), "tokenMalformed"),
    ] {
        rows.push(row(name, none().header(value), refused(reason)));
    }
    let not_utf8 = [b"Authorization: Bearer ".as_slice(), &[0xff, 0xfe, 0x80]].concat();
    rows.push(row("not UTF-8", none().header(not_utf8), refused("tokenMalformed")));
    for (name, value) in [
        ("one part", "abc".to_owned()),
        ("two parts", head.to_owned()),
        ("four parts", format!("{token}.x")),
        ("five parts, as encryption has", format!("{token}.x.y")),
        ("padding", format!("{head}.{signature}==")),
        (
            "standard base64",
            format!("{}.{payload}.{signature}", STANDARD.encode(br#"{"alg":"ES256","x":"???>>>"}"#)),
        ),
        ("a line break in base64", format!("{head}.{}%0A{}", &signature[..9], &signature[9..])),
        ("not base64", format!("!!!.{payload}.{signature}")),
        ("more than 16 KiB", format!("{head}{}.{signature}", "A".repeat(16 * 1024))),
        ("header not JSON", format!("{}.{payload}.{signature}", encoded("alg: ES256"))),
        ("header an array", format!("{}.{payload}.{signature}", encoded("[]"))),
        (
            "header with a byte order mark",
            format!("{}.{payload}.{signature}", encoded("\u{feff}{\"alg\":\"ES256\"}")),
        ),
        ("JSON serialisation", format!("{{\"payload\":\"{payload}\"}}")),
    ] {
        rows.push(row(name, with(value), refused("tokenMalformed")));
    }
    rows
}

/// Signatures by somebody else, or of another kind.
fn forged(agent: &Agent) -> Vec<Row> {
    let claims = || agent.claims().to_string();
    let random = SystemRandom::new();
    let es256 = agent.header(Alg::Es256);
    let text = STANDARD.encode(agent.jwk(Alg::Rs256)["n"].as_str().expect("a modulus"));
    let modulus =
        URL_SAFE_NO_PAD.decode(agent.jwk(Alg::Rs256)["n"].as_str().expect("a modulus")).expect("base64url");
    let hmac = |key: &[u8], message: &[u8]| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
    };
    let stranger = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
    let stranger = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, stranger.as_ref(), &random)
        .expect("a key");
    let by_stranger = |header: &Value| {
        agent.signed_by(header, |message| {
            stranger.sign(&random, message).expect("a signature").as_ref().to_vec()
        })
    };
    let unsigned = |header: Value| format!("{}.{}.", encoded(header.to_string()), encoded(claims()));
    let kid = |alg| agent.issuer.key_id(alg);
    let (head, signature) = agent.token.rsplit_once('.').expect("three parts");
    let raw = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let mut flipped = raw.clone();
    flipped[40] ^= 1;
    let payload = encoded(changed(agent.claims(), &json!({"sub": "admin"})).to_string());
    let protected = head.split_once('.').expect("two parts").0;
    let hs = |alg: &str, kid: &str| json!({"alg": alg, "kid": kid, "typ": "JWT"});
    let rsa = kid(Alg::Rs256);
    let with_text = |message: &[u8]| hmac(text.as_bytes(), message);
    let mut rows = vec![
        row("another's signature", with(format!("{head}.{}", encoded([7; 64]))), refused("tokenSignature")),
        row(
            "one bit of the signature",
            with(format!("{head}.{}", encoded(&flipped))),
            refused("tokenSignature"),
        ),
        row("no signature", with(format!("{head}.")), refused("tokenSignature")),
        row("half a signature", with(format!("{head}.{}", encoded(&raw[..32]))), refused("tokenSignature")),
        row("a signature of zeros", with(format!("{head}.{}", encoded([0; 64]))), refused("tokenSignature")),
        row(
            "a byte behind the signature",
            with(format!("{head}.{}", encoded([&raw[..], &[0]].concat()))),
            refused("tokenSignature"),
        ),
        row("claims changed", with(format!("{protected}.{payload}.{signature}")), refused("tokenSignature")),
        row("a stranger's key under a known kid", with(by_stranger(&es256)), refused("tokenSignature")),
        row(
            "a stranger's key under its own kid",
            with(by_stranger(&changed(es256.clone(), &json!({"kid": "mine"})))),
            refused("tokenKey"),
        ),
        row(
            "HMAC with the modulus",
            with(agent.signed_by(&hs("HS256", &rsa), |m| hmac(&modulus, m))),
            refused("tokenAlgorithm"),
        ),
        row(
            "HMAC with the key's text",
            with(agent.signed_by(&hs("HS256", &rsa), with_text)),
            refused("tokenAlgorithm"),
        ),
        row(
            "HMAC under ES256's kid",
            with(agent.signed_by(&hs("HS512", &kid(Alg::Es256)), with_text)),
            refused("tokenAlgorithm"),
        ),
        row(
            "HMAC said to be RS256",
            with(agent.signed_by(&hs("RS256", &rsa), with_text)),
            refused("tokenSignature"),
        ),
        row(
            "ES256 under the RSA key",
            with(agent.with_header(Alg::Es256, &json!({"kid": rsa}))),
            refused("tokenKey"),
        ),
        row(
            "RS256 under the P-256 key",
            with(agent.with_header(Alg::Rs256, &json!({"kid": kid(Alg::Es256)}))),
            refused("tokenKey"),
        ),
        row(
            "PS256 under the key for RS256",
            with(agent.with_header(Alg::Ps256, &json!({"kid": rsa}))),
            refused("tokenKey"),
        ),
        row(
            "PS256 said to be RS256",
            with(agent.with_header(Alg::Ps256, &json!({"alg": "RS256", "kid": rsa}))),
            refused("tokenSignature"),
        ),
        row(
            "RS256 said to be PS256",
            with(agent.with_header(Alg::Rs256, &json!({"alg": "PS256", "kid": kid(Alg::Ps256)}))),
            refused("tokenSignature"),
        ),
        row(
            "ES256 said to be ES384",
            with(agent.with_header(Alg::Es256, &json!({"alg": "ES384"}))),
            refused("tokenKey"),
        ),
        row(
            "P-256 under the P-384 key",
            with(agent.with_header(Alg::Es256, &json!({"alg": "ES384", "kid": kid(Alg::Es384)}))),
            refused("tokenSignature"),
        ),
        row(
            "P-384 under the P-256 key",
            with(agent.with_header(Alg::Es384, &json!({"alg": "ES256", "kid": kid(Alg::Es256)}))),
            refused("tokenSignature"),
        ),
        row(
            "EdDSA under the P-256 key",
            with(agent.with_header(Alg::EdDsa, &json!({"kid": kid(Alg::Es256)}))),
            refused("tokenKey"),
        ),
        row(
            "EdDSA said to be ES256",
            with(agent.with_header(Alg::EdDsa, &json!({"alg": "ES256", "kid": kid(Alg::Es256)}))),
            refused("tokenSignature"),
        ),
        row(
            "Ed25519 by its other name",
            with(agent.with_header(Alg::EdDsa, &json!({"alg": "Ed25519"}))),
            refused("tokenAlgorithm"),
        ),
        row(
            "ES256K",
            with(agent.with_header(Alg::Es256, &json!({"alg": "ES256K"}))),
            refused("tokenAlgorithm"),
        ),
        row(
            "ES512",
            with(agent.with_header(Alg::Es256, &json!({"alg": "ES512"}))),
            refused("tokenAlgorithm"),
        ),
    ];
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        rows.push(row(
            format!("alg {alg:?}"),
            with(unsigned(json!({"alg": alg, "kid": kid(Alg::Es256)}))),
            refused("tokenAlgorithm"),
        ));
    }
    for alg in ["es256", "ES256 ", " ES256", "ES256\0"] {
        rows.push(row(
            format!("alg {alg:?}"),
            with(agent.with_header(Alg::Es256, &json!({"alg": alg}))),
            refused("tokenAlgorithm"),
        ));
    }
    let embedded = Ed25519KeyPair::generate();
    let jwk: Value = json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(embedded.public_key().to_bytes())});
    let own = changed(es256.clone(), &json!({"jwk": jwk}));
    rows.push(row(
        "a key of its own in the header, signed by a stranger",
        with(by_stranger(&own)),
        refused("tokenMalformed"),
    ));
    for (name, changes) in [
        ("jku", json!({"jku": "http://127.0.0.1:1/jwks"})),
        ("x5u", json!({"x5u": "http://127.0.0.1:1/chain"})),
        ("x5c", json!({"x5c": ["AAAA"]})),
    ] {
        let header = changed(es256.clone(), &changes);
        rows.push(row(
            format!("{name}, signed by a stranger"),
            with(by_stranger(&header)),
            refused("tokenSignature"),
        ));
    }
    rows
}

/// What a right signature does not make good: the header.
fn headers(agent: &Agent) -> Vec<Row> {
    let mut rows = Vec::new();
    for kid in [
        "../../../../dev/null",
        "' OR '1'='1",
        "x\"; DROP TABLE keys; --",
        "| cat /etc/passwd",
        "http://127.0.0.1:1/key",
        "%00",
        "\u{0}",
        "",
        "\u{202e}",
    ] {
        rows.push(row(
            format!("kid {kid:?}"),
            with(agent.with_header(Alg::Es256, &json!({"kid": kid}))),
            refused("tokenKey"),
        ));
    }
    for (name, changes) in [
        ("kid a number", json!({"kid": 1})),
        ("kid an object", json!({"kid": {"$ne": ""}})),
        ("kid of 513 bytes", json!({"kid": "k".repeat(513)})),
        ("no alg", json!({"alg": null})),
        ("alg a list", json!({"alg": ["ES256"]})),
        ("crit", json!({"crit": ["exp"]})),
        ("crit, empty", json!({"crit": []})),
        ("b64 false", json!({"b64": false, "crit": ["b64"]})),
        ("zip", json!({"zip": "DEF"})),
        ("enc", json!({"enc": "A256GCM"})),
        ("cty JWT: nested", json!({"cty": "JWT"})),
        ("typ of a logout token", json!({"typ": "logout+jwt"})),
        ("typ of a DPoP proof", json!({"typ": "dpop+jwt"})),
        ("typ a number", json!({"typ": 1})),
        ("x5c not a list", json!({"x5c": 1})),
    ] {
        rows.push(row(name, with(agent.with_header(Alg::Es256, &changes)), refused("tokenMalformed")));
    }
    let kid = agent.issuer.key_id(Alg::Es256);
    let claims = agent.claims().to_string();
    for (name, header) in [
        ("alg twice", format!(r#"{{"alg":"none","alg":"ES256","kid":"{kid}"}}"#)),
        ("alg twice, once escaped", format!(r#"{{"alg":"ES256","\u0061lg":"none","kid":"{kid}"}}"#)),
        ("kid twice", format!(r#"{{"alg":"ES256","kid":"x","kid":"{kid}"}}"#)),
        ("something behind the header", format!(r#"{{"alg":"ES256","kid":"{kid}"}} x"#)),
        ("a header over 8 KiB", format!(r#"{{"alg":"ES256","kid":"{kid}","x":"{}"}}"#, "x".repeat(8192))),
        ("header not UTF-8", format!(r#"{{"alg":"ES256","kid":"{kid}","x":"?"}}"#)),
    ] {
        let mut header = header.into_bytes();
        if name == "header not UTF-8" {
            header.iter_mut().filter(|byte| **byte == b'?').for_each(|byte| *byte = 0xff);
        }
        let token = agent.issuer.sign_bytes(Alg::Es256, &header, claims.as_bytes());
        rows.push(row(name, with(token), refused("tokenMalformed")));
    }
    rows
}

/// A second to either side of the clock skew; to be sent within that second.
pub(super) fn at_the_skew(agent: &Agent) -> Vec<Row> {
    let now = now();
    let mut rows = Vec::new();
    for (name, changes, reason) in [
        ("expired a second more than it ago", json!({"exp": now - SKEW - 1.0}), Some("tokenExpired")),
        (
            "valid from a second more than it ahead",
            json!({"nbf": now + SKEW + 1.0}),
            Some("tokenNotYetValid"),
        ),
        ("issued a second more than it ahead", json!({"iat": now + SKEW + 1.0}), Some("tokenNotYetValid")),
        ("expired a second less than it ago", json!({"exp": now - SKEW + 1.0}), None),
        ("valid from a second less than it ahead", json!({"nbf": now + SKEW - 1.0}), None),
        ("issued a second less than it ahead", json!({"iat": now + SKEW - 1.0}), None),
    ] {
        rows.push(row(
            name,
            with(agent.with_claims(&changes)),
            reason.map_or_else(|| arrives(PODS), refused),
        ));
    }
    rows
}

/// Beside them, so that nothing is refused for a wrong reason: tokens that are good.
fn accepted(agent: &Agent) -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, changes) in [
        ("aud list with ours", json!({"aud": ["billing", "kubernetes"]})),
        ("no nbf, iat, jti", json!({"nbf": null, "iat": null, "jti": null})),
        ("groups text", json!({"groups": "developers"})),
        ("no groups", json!({"groups": null})),
    ] {
        rows.push(row(name, with(agent.with_claims(&changes)), arrives(PODS)));
    }
    for alg in [Alg::Es256, Alg::Es384, Alg::EdDsa, Alg::Rs256, Alg::Ps256] {
        rows.push(row(
            format!("good {}", alg.name()),
            with(agent.with_header(alg, &json!({}))),
            arrives(PODS),
        ));
    }
    for (name, changes) in [
        ("typ at+jwt", json!({"typ": "application/AT+JWT"})),
        ("no typ", json!({"typ": null})),
        ("no kid", json!({"kid": null})),
        ("jku that is not followed", json!({"jku": "http://127.0.0.1:1/jwks"})),
    ] {
        rows.push(row(name, with(agent.with_header(Alg::Es256, &changes)), arrives(PODS)));
    }
    rows
}
