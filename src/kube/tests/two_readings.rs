//! Requests that try to be read two ways: what each attempt meets.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

mod headers;

use super::super::query::required_name;
use super::super::*;

const SECRETS: &str = "/api/v1/namespaces/a/secrets";

fn parse(method: &str, target: &str) -> Result<RequestInfo, Refusal> {
    RequestInfo::parse(method.as_bytes(), target.as_bytes())
}

fn verb(target: &str) -> String {
    parse("GET", target).map_or_else(|refusal| refusal.status.code().to_string(), |info| info.verb)
}

fn head(method: &str, target: &str, headers: &[(&str, &str)]) -> RequestHead {
    let line = [(":method", method), (":path", target), (":authority", "gateway"), (":scheme", "https")];
    let bytes = |(name, value): &(&str, &str)| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    RequestHead::new(line.iter().chain(headers).map(bytes).collect())
}

/// What goes upstream besides the pseudo-headers and what is always set.
fn forwarded(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    let head = head("GET", SECRETS, headers);
    let info = RequestInfo::parse(head.method(), head.path()).unwrap();
    let sent =
        head.upstream(&info, b"Bearer injected", "the-id", "192.0.2.1", &|name| name == b"x-agent-model");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let always = ["accept", "accept-encoding", "authorization", "audit-id", "x-forwarded-for"];
    let sent: Vec<_> = sent.unwrap().into_iter().map(|(name, value)| (text(name), text(value))).collect();
    for (name, value) in [
        ("authorization", "Bearer injected"),
        ("audit-id", "the-id"),
        ("accept-encoding", "identity"),
        ("x-forwarded-for", "192.0.2.1"),
    ] {
        let values: Vec<_> =
            sent.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, [value], "{name} is set, once");
    }
    sent.into_iter().filter(|(name, _)| !name.starts_with(':') && !always.contains(&name.as_str())).collect()
}

#[test]
fn credentials_in_the_query_are_stripped_and_not_recorded() {
    for (query, rest) in [
        ("?access_token=t0p", ""),
        ("?access_token=t0p&limit=1", "?limit=1"),
        ("?limit=1&access_token=t0p&pretty", "?limit=1&pretty"),
        ("?%61ccess_token=t0p", ""),
        ("?access%5Ftoken=t0p", ""),
        ("?ACCESS_TOKEN=t0p", ""),
        ("?id_token=t0p&token=t0p&authorization=t0p", ""),
    ] {
        let target = format!("{SECRETS}{query}");
        assert_eq!(parse("GET", &target).unwrap().upstream_target, format!("{SECRETS}{rest}"), "{query}");
        assert_eq!(head("GET", &target, &[]).recorded_uri(), format!("{SECRETS}{rest}"), "{query}");
    }
    // A refused request is recorded too.
    let refused = format!("{SECRETS}?limit=1;access_token=t0p");
    assert_eq!(parse("GET", &refused).unwrap_err().status.code(), 400);
    assert!(!head("GET", &refused, &[]).recorded_uri().contains("t0p"));
}

#[test]
fn paths_that_a_second_reader_could_read_otherwise_are_refused() {
    for target in [
        "/api%2Fv1/secrets",
        "/api%2fv1%2fnamespaces%2fa%2fsecrets",
        "/api/v1/namespaces/a%2Fsecrets",
        "/api/v1/secrets%2E",
        "/api/v1/%2e%2e/secrets",
        "/api/v1/.%2e/secrets",
        "/api/v1/secrets%00",
        "/api/v1/secrets%0a",
        "/api/v1/secrets%7F",
        "/api/v1/secrets%2500",
        "/api/v1/secrets%252F",
        "/api/v1/secrets%5c..",
        "/api/v1/secrets%3bx",
        "/api//v1/secrets",
        "//api/v1/secrets",
        "/api/v1/namespaces//secrets",
        "/api/v1/namespaces/a//secrets/db",
        "/./api/v1/secrets",
        "/api/v1/./secrets",
        "/api/v1/secrets/.",
        "/api/v1/x/../secrets",
        "/healthz/../api/v1/secrets",
        "/api/v1/secrets/..",
        "/api/v1/secrets;a=b",
        "/api/v1/secrets;a=b/../x",
        "/api\\v1\\secrets",
        "/api/v1/secrets#",
        "/api/v1/sec rets",
        "/api/v1/secrets\t",
        "/api/v1/secrets\r\nhost: x",
        "/api/v1/secrets%",
        "/api/v1/secrets%4",
        "/api/v1/secrets%zz",
        "/api/v1/secrets%ff",
        "/api/v1/secrets%c0%af",
        "api/v1/secrets",
        "http://gateway/api/v1/secrets",
        "*",
        "",
        "?watch=1",
    ] {
        assert_eq!(
            parse("GET", target).map(|info| info.path).map_err(|r| r.status.code()),
            Err(400),
            "{target}"
        );
    }
    let bytes = RequestInfo::parse(b"GET", b"/api/v1/secrets\xff").unwrap_err();
    assert_eq!(bytes.status.code(), 400);
    let long = format!("/api/v1/{}", "a".repeat(8185));
    assert_eq!(parse("GET", &long).unwrap_err().status.code(), 400);
    assert_eq!(parse("GET", &"/a".repeat(65)).unwrap_err().status.code(), 400);
}

#[test]
fn other_escapes_are_decoded_once() {
    for (target, resource, name) in [
        ("/api/v1/namespaces/a/%73ecrets/d%62", "secrets", "db"),
        ("/api/v1/namespaces/a/secret%73/db+", "secrets", "db+"),
        ("/api/v1/namespaces/a/secrets/a%20b", "secrets", "a b"),
        ("/%61pi/v1/namespaces/a/secrets/%C3%A9", "secrets", "é"),
    ] {
        let info = parse("GET", target).unwrap();
        assert_eq!((info.resource.as_str(), info.name.as_str()), (resource, name), "{target}");
        assert_eq!(info.upstream_target, target, "sent as it came");
    }
    assert_eq!(verb("/%61pis"), "get");
}

#[test]
fn trailing_slashes_are_trimmed() {
    for target in ["/api/v1/namespaces/a/secrets/", "/api/v1/namespaces/a/secrets///"] {
        let info = parse("GET", target).unwrap();
        assert_eq!(
            (info.verb.as_str(), info.resource.as_str(), info.namespace.as_str()),
            ("list", "secrets", "a")
        );
        assert_eq!(info.upstream_target, target);
    }
    assert_eq!(parse("GET", "/").unwrap().path, "/");
}

#[test]
fn the_watch_prefix_is_a_watch() {
    for (target, name) in [
        ("/api/v1/watch/namespaces/a/secrets", ""),
        ("/api/v1/watch/namespaces/a/secrets/db", "db"),
        ("/api/v1/watch/namespaces/a/secrets/db?watch=false", "db"),
        ("/api/v1/%77atch/namespaces/a/secrets", ""),
    ] {
        let info = parse("GET", target).unwrap();
        assert!(info.is_secret(), "{target}");
        assert_eq!((info.verb.as_str(), info.namespace.as_str(), info.name.as_str()), ("watch", "a", name));
        assert_eq!(info.stream_kind(), Some(StreamKind::Watch), "{target}");
    }
    assert!(parse("GET", "/api/v1/watch/secrets").unwrap().is_secret());
    assert_eq!(verb("/api/v1/watch"), "400");
    assert_eq!(parse("DELETE", "/api/v1/watch/namespaces/a/secrets").unwrap_err().status.code(), 405);
    // Elsewhere it is a name like any other.
    assert_eq!(verb("/api/v1/namespaces/watch/secrets"), "list");
}

#[test]
fn the_proxy_prefix_is_refused() {
    for target in ["/api/v1/proxy", "/api/v1/proxy/namespaces/a/pods/p", "/apis/g/v1/proxy/nodes/n"] {
        assert_eq!(verb(target), "400", "{target}");
    }
}

#[test]
fn the_watch_parameter_is_read_as_the_api_server_does() {
    for (query, expected) in [
        ("", "list"),
        ("?watch=0", "list"),
        ("?watch=false", "list"),
        ("?watch=FALSE", "list"),
        ("?watch=False&limit=1", "list"),
        ("?WATCH=true", "list"),
        ("?watch=", "watch"),
        ("?watch", "watch"),
        ("?watch=1", "watch"),
        ("?watch=true", "watch"),
        ("?watch=no", "watch"),
        ("?watch=00", "watch"),
        ("?watch=%66alse", "list"),
        ("?%77atch=1", "watch"),
        ("?+watch=1", "list"),
        ("?watch=1&watch=1", "watch"),
        ("?watch=0&watch=1", "400"),
        ("?watch=1&watch=false", "400"),
        ("?watch=1&w%61tch=0", "400"),
        ("?watch=true;x=1", "400"),
        ("?x=1;watch=true", "400"),
        ("?watch=%g1", "400"),
        ("?watch=%00", "400"),
        ("?watch=%ff", "400"),
        ("?&&watch=1&&", "watch"),
        ("??watch=1", "list"),
    ] {
        assert_eq!(verb(&format!("{SECRETS}{query}")), expected, "{query}");
    }
    assert_eq!(verb(&format!("{SECRETS}?{}", "a=1&".repeat(257))), "400");
    let follow = |value| {
        parse("GET", &format!("/api/v1/namespaces/a/pods/p/log?follow={value}")).unwrap().stream_kind()
    };
    assert_eq!((follow("FALSE"), follow("0"), follow("yes")), (None, None, Some(StreamKind::Log)));
}

#[test]
fn a_name_makes_it_a_get_whatever_the_query_says() {
    for query in ["?watch=true", "?watch", "?fieldSelector=metadata.name%3Dother"] {
        let info = parse("GET", &format!("{SECRETS}/x{query}")).unwrap();
        assert_eq!((info.verb.as_str(), info.name.as_str()), ("get", "x"), "{query}");
        assert_eq!(info.stream_kind(), None);
    }
}

#[test]
fn a_field_selector_can_name_the_object() {
    for (selector, name) in [
        ("metadata.name=x", Some("x")),
        ("metadata.name==x", Some("x")),
        ("type=Opaque,metadata.name=x", Some("x")),
        ("metadata.name=x,metadata.name=y", Some("x")),
        ("metadata.name!=x", None),
        ("metadata.name=", None),
        ("metadata.name", None),
        ("bogus,metadata.name=x", None),
        (",metadata.name=x,", Some("x")),
        (" metadata.name=x", None),
        ("metadata.name=x=y", None),
        (r"metadata.name=x\=y", Some("x=y")),
        (r"metadata.name=x\,y", Some("x,y")),
        (r"metadata.name=x\\", Some(r"x\")),
        (r"metadata.name=x\", None),
        (r"metadata.name=x\y", None),
        (r"type=\q,metadata.name=x", None),
        ("a!b=c,metadata.name=x", Some("x")),
        ("metadata.name=..", None),
        ("metadata.name=a/b", None),
        ("metadata.name=a%2Fb", None),
    ] {
        assert_eq!(required_name(selector).as_deref(), name, "{selector}");
    }
    let info = parse("GET", &format!("{SECRETS}?fieldSelector=metadata.name%3Dx&watch=1")).unwrap();
    assert_eq!((info.verb.as_str(), info.name.as_str()), ("watch", "x"));
    assert_eq!(parse("DELETE", &format!("{SECRETS}?fieldSelector=metadata.name%3Dx")).unwrap().name, "");
}

#[test]
fn only_the_apis_methods_are_taken() {
    for method in ["OPTIONS", "TRACE", "CONNECT", "PROPFIND", "get", "Get", "GET ", "", "PRI", "QUERY"] {
        assert_eq!(parse(method, SECRETS).unwrap_err().status.code(), 405, "{method}");
    }
    for name in ["x-http-method-override", "x-http-method", "x-method-override"] {
        assert_eq!(forwarded(&[(name, "DELETE")]), [], "{name}");
    }
}

#[test]
fn what_runs_in_a_pod_is_a_write_whatever_its_method() {
    for subresource in ["exec?command=id", "attach", "portforward?ports=80"] {
        for (method, verb) in [("GET", "get"), ("POST", "create")] {
            let info = parse(method, &format!("/api/v1/namespaces/a/pods/p/{subresource}")).unwrap();
            assert_eq!(info.verb, verb, "{subresource}");
            assert!(info.is_write(), "{method} {subresource}");
        }
    }
    assert!(parse("GET", "/api/v1/namespaces/a/pods/p/exec?command=a&command=b&ports=1&ports=2").is_ok());
}

#[test]
fn a_session_in_the_servers_path_is_taken_off_before_classification() {
    for (target, session, upstream) in [
        ("/s/run-7/api/v1/namespaces/a/secrets?limit=1", "run-7", "/api/v1/namespaces/a/secrets?limit=1"),
        ("/s/0198c2f4-7d1e-7cc2-8b1e-5d2f8b9a6c01/api", "0198c2f4-7d1e-7cc2-8b1e-5d2f8b9a6c01", "/api"),
        ("/s/a.b_c~d/", "a.b_c~d", "/"),
        ("/s/s/healthz", "s", "/healthz"),
        ("/s/x/apis/apps/v1/deployments", "x", "/apis/apps/v1/deployments"),
    ] {
        let info = parse("GET", target).unwrap();
        assert_eq!(info.session.as_deref(), Some(session), "{target}");
        let plain = parse("GET", upstream).unwrap();
        assert_eq!(RequestInfo { session: None, ..info }, plain, "{target} is {upstream}");
        // The record says what arrived.
        assert_eq!(head("GET", target, &[]).recorded_uri(), target);
    }
    for target in [
        "/s",
        "/s/",
        "/s/run-7",
        "/s/run-7?watch=1",
        "/s//api/v1/secrets",
        "/s/../api/v1/secrets",
        "/s/./api/v1/secrets",
        "/s/.../api/v1/secrets",
        "/s/a%2Fb/api/v1/secrets",
        "/s/a%20b/api",
        "/s/a@b/api",
        "/s/a//api/v1/secrets",
        "/s/a/s/b/api/v1/secrets",
        "/s/a/../../api",
        "/%73/run-7/api/v1/secrets",
        "/s/a/%73/b/api/v1/secrets",
    ] {
        assert_eq!(parse("GET", target).unwrap_err().status.code(), 400, "{target}");
    }
    assert!(parse("GET", &format!("/s/{}/api", "a".repeat(129))).is_err());
}
