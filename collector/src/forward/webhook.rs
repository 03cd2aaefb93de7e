//! Requests to a webhook, signed as Standard Webhooks has it (<https://www.standardwebhooks.com>).

use super::http::{Header, Post};
use crate::evidence::sha256_hex;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chaperone_record::Timestamp;
use reqwest::header::HeaderName;
use serde_json::Value;
use std::fmt;
use zeroize::Zeroizing;

/// What keys begin with.
const PREFIX: &str = "whsec_";

/// The keys that requests are signed with: several while one is replaced by another.
#[derive(Clone)]
pub struct Keys(Vec<Zeroizing<Vec<u8>>>);

/// A text that holds no keys.
#[derive(Debug, thiserror::Error)]
#[error("a webhook's key is `whsec_` and 24 to 64 random bytes in base64, one a line")]
pub struct KeysError;

impl Keys {
    /// Reads keys, one a line.
    pub fn parse(text: &str) -> Result<Self, KeysError> {
        let key = |line: &str| {
            let key = STANDARD.decode(line.strip_prefix(PREFIX).ok_or(KeysError)?).map_err(|_| KeysError)?;
            (24..=64).contains(&key.len()).then(|| Zeroizing::new(key)).ok_or(KeysError)
        };
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let keys: Vec<_> = lines.map(key).collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(KeysError) } else { Ok(Self(keys)) }
    }

    /// The signatures of a message, by each key.
    fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let signature = |key: &Zeroizing<Vec<u8>>| {
            let mut mac = hmac_sha256::HMAC::new(key.as_slice());
            mac.update(format!("{id}.{timestamp}."));
            mac.update(body);
            format!("v1,{}", STANDARD.encode(mac.finalize()))
        };
        self.0.iter().map(signature).collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(..)")
    }
}

/// A request with these events. The same events have the same id, and a signature of the moment.
pub(super) fn post(keys: &Keys, events: &[Value], now: Timestamp) -> Post {
    let body = Value::from(events.to_vec()).to_string().into_bytes();
    let id = format!("msg_{}", sha256_hex(&body).get(..32).unwrap_or_default());
    let timestamp = now.micros() / 1_000_000;
    let signature = keys.sign(&id, timestamp, &body);
    let headers =
        [("webhook-id", id), ("webhook-timestamp", timestamp.to_string()), ("webhook-signature", signature)];
    Post {
        content_type: "application/cloudevents-batch+json; charset=utf-8",
        headers: headers
            .into_iter()
            .filter_map(|(name, value)| Header::new(HeaderName::from_static(name), &value))
            .collect(),
        body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_example() {
        // From the specification's libraries: their common test vector.
        let keys = Keys::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert_eq!(
            keys.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn what_is_no_key() {
        let short = format!("whsec_{}", STANDARD.encode([7; 23]));
        let plain = STANDARD.encode([7; 32]);
        for text in ["", "\n", "whsec_", "secret", &short, &plain] {
            assert!(Keys::parse(text).is_err(), "{text}");
        }
        let two = format!("whsec_{plain}\n\nwhsec_{plain}\n");
        assert_eq!(Keys::parse(&two).unwrap().sign("a", 1, b"").split(' ').count(), 2);
    }
}
