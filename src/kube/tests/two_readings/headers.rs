//! Headers and bodies that try it.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

#[test]
fn claims_to_be_someone_else_are_stripped() {
    for name in [
        "impersonate-user",
        "Impersonate-User",
        "IMPERSONATE-GROUP",
        "impersonate-uid",
        "impersonate-extra-chaperone.dev%2fsession",
        "impersonate-",
        "x-remote-user",
        "X-Remote-Group",
        "x-remote-uid",
        "x-remote-extra-scopes",
        // Other front proxies are configured with other names.
        "x-authenticated-user",
        "x-user",
        "x-forwarded-user",
        "x-forwarded-client-cert",
        "x-client-cert",
        "proxy-authorization",
        "cookie",
        "x-api-key",
    ] {
        assert_eq!(forwarded(&[(name, "admin")]), [], "{name}");
    }
}

#[test]
fn duplicate_authorization_is_seen_as_two() {
    let twice = head("GET", SECRETS, &[("authorization", "Bearer a"), ("Authorization", "Bearer b")]);
    assert_eq!(twice.values("authorization").count(), 2);
    assert!(forwarded(&[("authorization", "Bearer a"), ("authorization", "Bearer b")]).is_empty());
}

#[test]
fn websocket_subprotocols_that_carry_a_token_are_stripped() {
    let token = "base64url.bearer.authorization.k8s.io.YWdlbnQ, v5.channel.k8s.io";
    let sent = forwarded(&[
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA=="),
        ("sec-websocket-version", "13"),
        ("sec-websocket-extensions", "permessage-deflate"),
        ("sec-websocket-protocol", token),
    ]);
    assert_eq!(sent, []);
}

#[test]
fn encoded_bodies_are_refused() {
    for (value, expected) in [
        ("gzip", Some(415)),
        ("deflate", Some(415)),
        ("identity, gzip", Some(415)),
        ("x", Some(415)),
        ("identity", None),
    ] {
        let got = head("POST", SECRETS, &[("content-encoding", value)]).check();
        assert_eq!(got.err().map(|refusal| refusal.status.code()), expected, "{value}");
    }
}

#[test]
fn media_types_of_bodies() {
    for (method, content_type, expected) in [
        ("PATCH", "application/merge-patch+json", None),
        ("PATCH", "application/json-patch+json;charset=utf-8", None),
        ("PATCH", "application/strategic-merge-patch+json", None),
        ("PATCH", "application/apply-patch+yaml", None),
        ("PATCH", "application/apply-patch+cbor", Some(415)),
        ("PATCH", "Application/Merge-Patch+JSON", Some(415)),
        ("PATCH", "application/json", Some(415)),
        ("PATCH", "", Some(415)),
        ("PATCH", "application/merge-patch+json, application/json-patch+json", Some(400)),
        ("POST", "application/cbor", Some(415)),
        ("PUT", "Application/CBOR", Some(415)),
        ("POST", "application/json,application/yaml", Some(400)),
        ("POST", "application/jsön", Some(400)),
        ("POST", "application/vnd.kubernetes.protobuf", None),
    ] {
        let got = head(method, SECRETS, &[("content-type", content_type)]).check();
        assert_eq!(got.err().map(|refusal| refusal.status.code()), expected, "{method} {content_type}");
    }
    assert_eq!(head("PATCH", SECRETS, &[]).check().unwrap_err().status.code(), 415);
}

#[test]
fn bodies_end_where_all_readers_think() {
    for (name, method, headers, expected) in [
        ("a length", "POST", vec![("content-length", "12")], None),
        ("chunks", "POST", vec![("transfer-encoding", "Chunked")], None),
        ("a DELETE with a body", "DELETE", vec![("content-length", "2")], None),
        ("a GET that says it has none", "GET", vec![("content-length", "0")], None),
        ("a GET with a body", "GET", vec![("content-length", "2")], Some(400)),
        ("a HEAD with chunks", "HEAD", vec![("transfer-encoding", "chunked")], Some(400)),
        ("both", "POST", vec![("content-length", "2"), ("transfer-encoding", "chunked")], Some(400)),
        ("two lengths", "POST", vec![("content-length", "2"), ("content-length", "3")], Some(400)),
        ("two lengths joined", "POST", vec![("content-length", "2,3")], Some(400)),
        ("a sign", "POST", vec![("content-length", "+2")], Some(400)),
        ("hex", "POST", vec![("content-length", "0x2")], Some(400)),
        ("no number", "POST", vec![("content-length", "")], Some(400)),
        ("an unknown encoding", "POST", vec![("transfer-encoding", "xchunked")], Some(400)),
        ("encodings joined", "POST", vec![("transfer-encoding", "identity, chunked")], Some(400)),
    ] {
        let got = head(method, SECRETS, &headers).check();
        assert_eq!(got.err().map(|refusal| refusal.status.code()), expected, "{name}");
    }
}

#[test]
fn headers_that_stand_there_twice_or_cannot_be_read_are_refused() {
    for (name, header, expected) in [
        ("a second path", (":path", "/version"), Some(400)),
        ("a second method", (":method", "DELETE"), Some(400)),
        ("a second authority", (":authority", "x"), Some(400)),
        ("a host with a comma", ("host", "a,b"), Some(400)),
        ("a line feed", ("x", "a\nb: c"), Some(400)),
        ("a NUL", ("x", "a\0"), Some(400)),
        ("a delete", ("x", "a\u{7f}"), Some(400)),
        ("a tab", ("x", "a\tb"), None),
        ("a space in a name", ("impersonate-user ", "a"), Some(400)),
        ("a colon in a name", ("x:y", "a"), Some(400)),
        ("an empty name", ("", "a"), Some(400)),
        ("a name that is not ASCII", ("ımpersonate-user", "a"), Some(400)),
        ("a value that is not ASCII", ("user-agent", "é"), None),
        ("an Accept that is not ASCII", ("accept", "é"), Some(400)),
    ] {
        let got = head("GET", SECRETS, &[header]).check();
        assert_eq!(got.err().map(|refusal| refusal.status.code()), expected, "{name}");
    }
    let raw = RequestHead::new(vec![(b"user-agent".to_vec(), b"a\xffb".to_vec())]);
    assert!(raw.check().is_ok());
    assert_eq!(raw.user_agent(), "a\u{fffd}b");
}

#[test]
fn upgrades_are_known_and_their_headers_stripped() {
    for (headers, expected) in [
        (vec![("connection", "Upgrade")], true),
        (vec![("connection", "keep-alive, upgrade")], true),
        (vec![("connection", "xUPGRADEx")], true),
        (vec![("connection", "keep-alive"), ("connection", "upgrade")], true),
        (vec![("upgrade", "SPDY/3.1")], true),
        (vec![("upgrade", "")], true),
        (vec![("connection", "keep-alive")], false),
        (vec![], false),
    ] {
        assert_eq!(head("GET", SECRETS, &headers).upgrades(), expected, "{headers:?}");
        assert_eq!(forwarded(&headers), [], "{headers:?}");
    }
    assert!(head("CONNECT", SECRETS, &[]).upgrades());
}

/// `forwarded` checks that the gateway's own stand there once.
#[test]
fn the_clients_audit_id_and_addresses_are_replaced() {
    for name in [
        "audit-id",
        "x-forwarded-for",
        "x-real-ip",
        "forwarded",
        "x-forwarded-host",
        "x-forwarded-uri",
        "x-original-url",
        "x-envoy-original-dst-host",
        "x-envoy-retry-on",
        "x-envoy-upstream-rq-timeout-ms",
        "x-envoy-external-address",
    ] {
        assert_eq!(forwarded(&[(name, "198.51.100.7")]), [], "{name}");
    }
}

#[test]
fn what_the_api_server_needs_is_forwarded() {
    for (name, value) in [
        ("content-type", "application/json"),
        ("content-length", "0"),
        ("user-agent", "kubectl/v1.37"),
        ("if-none-match", "\"x\""),
        ("traceparent", "00-1-2-01"),
        ("x-request-id", "r"),
    ] {
        assert_eq!(forwarded(&[(name, value)]), [(name.to_owned(), value.to_owned())]);
    }
    assert_eq!(
        forwarded(&[
            ("x-agent-model", "m"),
            ("kubectl-session", "s"),
            ("te", "trailers"),
            ("expect", "100-continue")
        ]),
        []
    );
}

/// A source of attribution does not go upstream even where its header otherwise would; but for the user agent.
#[test]
fn sources_of_attribution_stay_behind() {
    let head = head("GET", SECRETS, &[("traceparent", "t"), ("user-agent", "u"), ("content-type", "a/b")]);
    let info = RequestInfo::parse(head.method(), head.path()).unwrap();
    let sent = head.upstream(&info, b"Bearer t", "id", "", &|name| name != b"content-type").unwrap();
    let names: Vec<_> = sent.iter().map(|(name, _)| std::str::from_utf8(name).unwrap()).collect();
    let expected = [
        ":method",
        ":path",
        ":authority",
        ":scheme",
        "user-agent",
        "content-type",
        "accept",
        "authorization",
        "accept-encoding",
        "audit-id",
    ];
    assert_eq!(names, expected);
}
