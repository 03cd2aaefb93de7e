#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::issuer::*;
use crate::identity::{Authenticator, Fetch};
use serde_json::{Value, json};

const DISCOVERY: &str = "/.well-known/openid-configuration";

/// An authenticator that fetches its keys, and an issuer that answers at once.
struct World {
    authenticator: Authenticator,
    seconds: u64,
    /// What the issuer publishes; none while it is down.
    keys: Option<Value>,
    fetched: Vec<String>,
}

impl World {
    fn new() -> Self {
        let authenticator = authenticator(|jwt| {
            jwt["issuer"] = json!({"url": URL, "audiences": ["kubernetes"], "cluster": "idp",
                "discoveryURL": format!("{URL}{DISCOVERY}")});
        });
        Self { authenticator, seconds: NOW, keys: Some(json!([jwk(1, "one")])), fetched: Vec::new() }
    }

    fn serve(&self, fetch: &Fetch) -> (Option<u16>, Vec<u8>) {
        let Some(keys) = &self.keys else { return (None, Vec::new()) };
        let body = match fetch.path.as_str() {
            DISCOVERY => json!({"issuer": URL, "jwks_uri": format!("{URL}/keys?v=1")}),
            "/keys?v=1" => json!({"keys": keys}),
            path => panic!("{path}"),
        };
        (Some(200), body.to_string().into_bytes())
    }

    /// What happens at one moment: fetches until there is nothing more to fetch.
    fn tick(&mut self) {
        let mut rounds = 0;
        loop {
            let fetches = self.authenticator.poll(at(self.seconds));
            if fetches.is_empty() {
                return;
            }
            for fetch in fetches {
                assert_eq!(
                    (fetch.cluster.as_str(), fetch.scheme.as_str(), fetch.authority.as_str()),
                    ("idp", "https", "idp.example.com")
                );
                let (status, body) = self.serve(&fetch);
                self.fetched.push(fetch.path);
                let _ = self.authenticator.on_answer(at(self.seconds), 0, fetch.id, status, &body);
            }
            rounds += 1;
            assert!(rounds < 4, "it does not come to rest");
        }
    }

    /// Ticks once a second.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.seconds += 1;
            self.tick();
        }
    }

    fn ask(&mut self, seed: u8, kid: &str) -> &'static str {
        let claims = json!({"iss": URL, "aud": "kubernetes", "sub": "a", "exp": self.seconds + 60, "jti": self.seconds.to_string()});
        let token = sign_text(seed, &json!({"alg": "EdDSA", "kid": kid}).to_string(), &claims.to_string());
        code(&answer(&mut self.authenticator, at(self.seconds), &token))
    }

    fn count(&mut self) -> usize {
        std::mem::take(&mut self.fetched).len()
    }
}

#[test]
fn keys_are_fetched_from_the_first_tick_on_and_refreshed() {
    let mut world = World::new();
    assert_eq!(world.ask(1, "one"), "keysUnavailable");
    assert_eq!(world.authenticator.stale_issuers(at(NOW)), 1);
    world.tick();
    assert_eq!(world.fetched, [DISCOVERY, "/keys?v=1"]);
    assert_eq!(world.ask(1, "one"), "ok");
    assert_eq!(world.authenticator.stale_issuers(at(NOW)), 0);
    world.count();
    world.pass(3600);
    assert_eq!(world.count(), 12, "every five minutes, the key set only");
}

#[test]
fn inline_keys_are_never_fetched() {
    let mut authenticator = authenticator(|_| ());
    assert!(authenticator.poll(at(NOW)).is_empty() && authenticator.poll(at(NOW + 100_000)).is_empty());
    assert_eq!(code(&answer(&mut authenticator, at(NOW), &sign(&header(), &with("kid", json!(1))))), "ok");
    let unknown = sign(&json!({"alg": "EdDSA", "kid": "two"}), &claims());
    assert_eq!(code(&answer(&mut authenticator, at(NOW), &unknown)), "tokenKey");
    assert!(authenticator.poll(at(NOW + 1)).is_empty());
}

#[test]
fn a_rotated_key_is_found_by_its_unknown_name() {
    let mut world = World::new();
    world.tick();
    world.pass(20);
    world.keys = Some(json!([jwk(1, "one"), jwk(2, "two")]));
    world.count();
    assert_eq!(world.ask(2, "two"), "tokenKey");
    world.pass(1);
    assert_eq!(world.count(), 1);
    assert_eq!((world.ask(2, "two"), world.ask(1, "one")), ("ok", "ok"));
}

/// The token was verified and is remembered; the key that verified it is withdrawn.
#[test]
fn a_remembered_token_does_not_outlive_its_key() {
    let mut world = World::new();
    world.tick();
    let claims = json!({"iss": URL, "aud": "kubernetes", "sub": "a", "exp": NOW + 100_000});
    let token = sign_text(1, &json!({"alg": "EdDSA", "kid": "one"}).to_string(), &claims.to_string());
    let ask = |world: &mut World| code(&answer(&mut world.authenticator, at(world.seconds), &token));
    assert_eq!(ask(&mut world), "ok");
    world.keys = Some(json!([jwk(2, "two")]));
    world.pass(299);
    assert_eq!(ask(&mut world), "ok", "not fetched yet");
    world.pass(1);
    assert_eq!(ask(&mut world), "tokenKey");
    // Another key under the same name is another key.
    world.keys = Some(json!([jwk(2, "one")]));
    world.pass(300);
    assert_eq!(ask(&mut world), "tokenSignature");
    // And the first key again makes the token good again: what was remembered as bad is forgotten.
    world.keys = Some(json!([jwk(1, "one")]));
    world.pass(300);
    assert_eq!(ask(&mut world), "ok");
    world.keys = Some(
        json!([{"kty": "OKP", "crv": "Ed25519", "kid": "one", "alg": "ES256", "x": jwk(1, "one")["x"]}, jwk(2, "two")]),
    );
    world.pass(300);
    assert_eq!(ask(&mut world), "tokenKey", "the key is confined to another algorithm");
}

#[test]
fn a_flood_of_unknown_names_causes_one_fetch_in_ten_seconds() {
    let mut world = World::new();
    world.tick();
    world.count();
    for second in 0..60 {
        for index in 0..100 {
            assert_eq!(world.ask(9, &format!("{second}-{index}")), "tokenKey");
        }
        world.pass(1);
    }
    assert_eq!(world.count(), 6);
    assert_eq!(world.ask(1, "one"), "ok");
}

#[test]
fn while_the_issuer_is_down_its_keys_are_kept_for_a_day() {
    let mut world = World::new();
    world.tick();
    let claims = json!({"iss": URL, "aud": "kubernetes", "sub": "a", "exp": NOW + 1_000_000});
    let long = sign_text(1, &json!({"alg": "EdDSA", "kid": "one"}).to_string(), &claims.to_string());
    assert_eq!(code(&answer(&mut world.authenticator, at(NOW), &long)), "ok");
    world.keys = None;
    world.count();
    world.pass(3600);
    assert_eq!(world.authenticator.stale_issuers(at(world.seconds)), 1);
    let fetches = world.count();
    assert!((110..150).contains(&fetches), "with jitter of zero the last pause is 30 s: {fetches}");
    world.pass(24 * 3600 - 3600);
    assert_eq!(world.ask(1, "one"), "ok");
    assert_eq!(code(&answer(&mut world.authenticator, at(world.seconds), &long)), "ok");
    world.pass(1);
    assert_eq!(world.ask(1, "one"), "keysUnavailable");
    assert_eq!(
        code(&answer(&mut world.authenticator, at(world.seconds), &long)),
        "keysUnavailable",
        "remembered"
    );
    world.keys = Some(json!([jwk(1, "one")]));
    world.pass(60);
    assert_eq!(world.ask(1, "one"), "ok");
    assert_eq!(world.authenticator.stale_issuers(at(world.seconds)), 0);
}

#[test]
fn an_unknown_name_does_not_hurry_an_issuer_that_is_down() {
    let mut world = World::new();
    world.tick();
    world.keys = None;
    world.pass(600);
    world.count();
    for _ in 0..600 {
        assert_eq!(world.ask(9, "x"), "tokenKey");
        world.pass(1);
    }
    assert!(world.count() <= 61);
}

#[test]
fn retries_back_off_and_are_spread() {
    let mut authenticator = World::new().authenticator;
    let mut now = at(NOW);
    let mut pauses = Vec::new();
    for _ in 0..10 {
        let fetch = authenticator.poll(now).pop().unwrap();
        let failed = authenticator.on_answer(now, u64::MAX, fetch.id, Some(503), b"");
        assert_eq!(failed, Err(format!("{URL}: the answer's status is not 200")));
        let start = now;
        while authenticator.poll(now).is_empty() {
            now = chaperone_record::Timestamp::from_micros(now.micros() + 100_000);
            assert!(now.micros() - start.micros() < 120_000_000);
        }
        // That poll sent a fetch, which is lost; the next one is due after its time.
        pauses.push((now.micros() - start.micros()) / 1_000_000);
        now = chaperone_record::Timestamp::from_micros(now.micros() + 15_000_000);
    }
    assert!(
        pauses[0] <= 1 && pauses.windows(2).all(|pair| pair[0] <= pair[1]) && pauses[9] <= 60,
        "{pauses:?}"
    );
    assert!(pauses[9] >= 30, "{pauses:?}");
}

#[test]
fn answers_that_are_not_taken() {
    let ok = Some(200);
    let discovery = |value: Value| (true, ok, value.to_string());
    let set = |text: &str| (false, ok, text.to_owned());
    for (name, (at_discovery, status, body)) in [
        ("no answer", (true, None, String::new())),
        ("a redirect", (true, Some(302), String::new())),
        ("not found", (true, Some(404), "{}".to_owned())),
        ("no JSON", (true, ok, "<html>".to_owned())),
        ("cut off", (true, ok, "{\"issuer\":".to_owned())),
        (
            "another issuer's document",
            discovery(
                json!({"issuer": "https://evil.example.com", "jwks_uri": "https://evil.example.com/keys"}),
            ),
        ),
        ("no issuer", discovery(json!({"jwks_uri": "https://idp.example.com/keys"}))),
        (
            "the issuer with a slash",
            discovery(json!({"issuer": format!("{URL}/"), "jwks_uri": "https://idp.example.com/keys"})),
        ),
        (
            "two issuers",
            (true, ok, format!("{{\"issuer\":\"x\",\"issuer\":\"{URL}\",\"jwks_uri\":\"{URL}/keys\"}}")),
        ),
        ("no jwks_uri", discovery(json!({"issuer": URL}))),
        ("a file", discovery(json!({"issuer": URL, "jwks_uri": "file:///etc/passwd"}))),
        ("a path only", discovery(json!({"issuer": URL, "jwks_uri": "/keys"}))),
        (
            "a user in the URL",
            discovery(json!({"issuer": URL, "jwks_uri": "https://a@idp.example.com/keys"})),
        ),
        (
            "a line break in the URL",
            discovery(json!({"issuer": URL, "jwks_uri": "https://idp.example.com/\r\nx: y"})),
        ),
        ("a fragment", discovery(json!({"issuer": URL, "jwks_uri": "https://idp.example.com/#x"}))),
        ("no set", set("{}")),
        ("keys that are no list", set("{\"keys\":{}}")),
        ("an empty set", set("{\"keys\":[]}")),
        ("no key that can be used", set("{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}")),
        ("keys twice", set("{\"keys\":[],\"keys\":[]}")),
        ("nested too deep", set(&format!("{{\"keys\":{}{}}}", "[".repeat(60), "]".repeat(60)))),
    ] {
        let mut world = World::new();
        world.tick();
        // The keys that are there stay, whatever the answer.
        world.seconds += 300;
        if at_discovery {
            // A failed refresh asks discovery again.
            let fetch = world.authenticator.poll(at(world.seconds)).pop().unwrap();
            let _ = world.authenticator.on_answer(at(world.seconds), 0, fetch.id, None, b"");
            world.seconds += 1;
        }
        let fetch = world.authenticator.poll(at(world.seconds)).pop().unwrap();
        assert_eq!(fetch.path == DISCOVERY, at_discovery, "{name}");
        let got = world.authenticator.on_answer(at(world.seconds), 0, fetch.id, status, body.as_bytes());
        assert!(got.unwrap_err().starts_with(URL), "{name}");
        assert_eq!(world.ask(1, "one"), "ok", "{name}");
        assert!(world.authenticator.poll(at(world.seconds)).is_empty(), "{name}: not again at once");
    }
}

#[test]
fn a_lost_or_late_answer_changes_nothing() {
    let mut world = World::new();
    let first = world.authenticator.poll(at(NOW)).pop().unwrap();
    assert!(world.authenticator.poll(at(NOW + 14)).is_empty(), "under way");
    let second = world.authenticator.poll(at(NOW + 15)).pop().unwrap();
    assert_ne!(first.id, second.id);
    let (status, body) = world.serve(&first);
    assert_eq!(world.authenticator.on_answer(at(NOW + 15), 0, first.id, status, &body), Ok(()));
    assert!(world.authenticator.poll(at(NOW + 16)).is_empty(), "the second is still under way");
    assert_eq!(world.authenticator.on_answer(at(NOW + 16), 0, second.id, status, &body), Ok(()));
    assert_eq!(world.authenticator.poll(at(NOW + 16)).pop().unwrap().path, "/keys?v=1");
}
