use super::*;
use serde_json::{Value, json};

#[test]
fn times_are_rfc_3339_with_microseconds() {
    for (micros, text) in [
        (0, "1970-01-01T00:00:00.000000Z"),
        (951_782_400_000_001, "2000-02-29T00:00:00.000001Z"),
        (1_795_422_441_123_456, "2026-11-23T08:27:21.123456Z"),
        (4_107_542_399_999_999, "2100-02-28T23:59:59.999999Z"),
        (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
        (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
    ] {
        assert_eq!(Timestamp::from_micros(micros).to_string(), text);
        assert_eq!(Timestamp::parse(text), Some(Timestamp::from_micros(micros)), "{text}");
    }
    assert_eq!(Timestamp::parse("2026-11-23T08:27:21Z").map(Timestamp::micros), Some(1_795_422_441_000_000));
    assert_eq!(
        Timestamp::parse("2026-11-23T08:27:21.5Z").map(Timestamp::micros),
        Some(1_795_422_441_500_000)
    );
    for bad in [
        "",
        "2026-11-23",
        "2026-02-29T00:00:00Z",
        "2026-11-23T08:27:21+01:00",
        "2026-11-23T24:00:00Z",
        "2026-11-23T08:27:21.Z",
    ] {
        assert_eq!(Timestamp::parse(bad), None, "{bad}");
    }
}

/// Each kind of entry as it stands on the wire; reading and writing it again changes nothing.
#[test]
fn entries_keep_their_shape() {
    let who = json!({"username": "agent", "groups": ["agents"], "issuer": "https://idp.example.com", "tokenID": "t-1"});
    let entries = [
        json!({"type": "open", "time": "2026-11-23T08:27:21.000000Z", "configDigest": "00", "node": "n", "worker": "w",
            "filter": {"version": "0.1.0", "build": "abc"}}),
        json!({"type": "request", "exchange": "e", "session": "s", "user": who, "attribution": {
                "model": {"value": "m", "source": "claim:model", "verified": true}},
            "method": "GET", "requestURI": "/api/v1/namespaces/a/secrets/b", "verb": "get",
            "objectRef": {"apiVersion": "v1", "resource": "secrets", "namespace": "a", "name": "b"},
            "sourceIPs": ["192.0.2.1"], "userAgent": "kubectl", "decision": {"allowed": true, "rule": "access.default"},
            "timing": {"received": "2026-11-23T08:27:21.000000Z"}}),
        json!({"type": "request", "exchange": "e", "session": "s", "requestObject": {"kind": "Secret"},
            "requestDigest": {"sha256": "00", "bytes": 17}, "timing": {}}),
        json!({"type": "response", "exchange": "e", "session": "s", "responseStatus": {"code": 200},
            "responseObject": {"kind": "Secret"}, "masked": [{"path": "$.data.password", "count": 1}],
            "outcome": "complete", "timing": {}}),
        json!({"type": "exchange", "exchange": "e", "attribution": {}, "method": "GET", "requestURI": "/version",
            "verb": "get", "decision": {"allowed": false, "rule": "authentication", "message": "no token"},
            "responseStatus": {"code": 401, "reason": "Unauthorized"}, "outcome": "refused", "timing": {}}),
        json!({"type": "stream", "exchange": "e", "channel": "stdout", "offset": 5, "position": 0, "data": "aGk=", "encoding": "base64"}),
        json!({"type": "end", "exchange": "e", "responseStatus": {"code": 200}, "outcome": "aborted",
            "reason": "the client left", "timing": {}}),
        json!({"type": "gap", "time": "2026-11-23T08:27:21.000000Z", "entries": 3, "bytes": 900, "reason": "outboxFull"}),
    ];
    for wire in entries {
        let entry: Entry = serde_json::from_value(wire.clone()).unwrap_or_else(|e| panic!("{wire}: {e}"));
        assert_eq!(serde_json::to_value(&entry).unwrap(), wire);
    }
}

/// The filter splices bodies in as they came: the bytes in the record are the bytes the agent saw.
#[test]
fn raw_bodies_are_written_verbatim() {
    let raw = serde_json::value::RawValue::from_string(r#"{"b":1.0, "a" : [ ]}"#.to_owned()).unwrap();
    let entry = Entry::Response(Box::new(Response {
        exchange: "e".into(),
        session: String::new(),
        responded: Responded {
            response_status: ResponseStatus { code: 200, ..ResponseStatus::default() },
            response_object: Some(raw),
            response_digest: None,
            masked: vec![],
            sealed: None,
            outcome: Outcome::Complete,
            reason: String::new(),
        },
        timing: Timing::default(),
    }));
    let text = serde_json::to_string(&entry).unwrap();
    assert!(text.contains(r#""responseObject":{"b":1.0, "a" : [ ]}"#), "{text}");
    assert!(serde_json::from_str::<Entry<Value>>(&text).is_ok());
}

#[test]
fn unknown_fields_are_tolerated() {
    let wire = r#"{"type":"gap","time":"2026-11-23T08:27:21.000000Z","entries":1,"bytes":1,"reason":"x","later":true}"#;
    assert!(serde_json::from_str::<Entry>(wire).is_ok());
}
