//! Exec, attach and port-forward, from the offer to the last entry.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::rig::{Begun, Headers, Rig, acknowledgement, header, status};
use crate::exchange::{AtRequestBody, AtResponseBody, AtResponseHeaders, Confirmation, Exchange, Header};
use crate::stream::spdy::tests::{data, exec};
use crate::stream::websocket::tests::{client, server};
use serde_json::{Value, json};

const EXEC: &str = "/api/v1/namespaces/shop/pods/web/exec?command=sh&command=-c&command=echo%20a%0Aecho%20b&container=app&stdin=true&stdout=true&stderr=true&tty=true";
const FORWARD: &str = "/api/v1/namespaces/shop/pods/web/portforward?ports=8080";
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const OFFER: Headers<'_> = &[
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", KEY),
    ("sec-websocket-protocol", "v5.channel.k8s.io"),
];
const ACCEPT: Headers<'_> = &[
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ("sec-websocket-protocol", "v5.channel.k8s.io"),
];

const VERSIONS: &str = "x-stream-protocol-version";
/// As kubectl 1.20 asks, and the proxy joins it.
const SPDY: Headers<'_> = &[
    ("connection", "Upgrade"),
    ("upgrade", "SPDY/3.1"),
    ("content-length", "0"),
    (VERSIONS, "v4.channel.k8s.io,v3.channel.k8s.io,v9.channel.k8s.io"),
];
const SPDY_ACCEPT: Headers<'_> =
    &[("connection", "Upgrade"), ("upgrade", "SPDY/3.1"), (VERSIONS, "v4.channel.k8s.io")];

fn with<'a>(headers: Headers<'a>, name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut changed: Vec<(&str, &str)> = headers.iter().filter(|(key, _)| *key != name).copied().collect();
    if !value.is_empty() {
        changed.push((name, value));
    }
    changed
}

/// Up to what goes upstream, its record acknowledged.
fn offer(rig: &mut Rig, method: &str, path: &str, headers: Headers<'_>) -> (Exchange, Vec<Header>) {
    let (mut exchange, begun) = rig.begin(method, path, headers);
    match begun {
        Begun::Confirm(upstream, post) => {
            let confirmed = rig.confirm(&mut exchange, &post, 200, &acknowledgement(&post));
            assert!(matches!(confirmed, Confirmation::Resume));
            (exchange, upstream)
        }
        Begun::Forward(upstream) => (exchange, upstream),
        Begun::Reply(reply) => panic!("{}", status(&reply)),
        Begun::Mint(_) => panic!("the token is configured"),
    }
}

fn upgraded(rig: &mut Rig, path: &str, accept: Headers<'_>) -> Exchange {
    let subprotocol = accept.iter().find(|(name, _)| *name == "sec-websocket-protocol").unwrap().1;
    let (mut exchange, _) = offer(rig, "GET", path, &with(OFFER, "sec-websocket-protocol", subprotocol));
    assert!(matches!(rig.respond(&mut exchange, 101, accept), AtResponseHeaders::Pass(_)));
    exchange
}

/// What goes on of the client's bytes; none where the stream is cut.
fn send(rig: &mut Rig, exchange: &mut Exchange, bytes: &[u8]) -> Option<Vec<u8>> {
    rig.wait(5);
    match rig.body(exchange, bytes, false) {
        AtRequestBody::Pass => Some(bytes.to_vec()),
        AtRequestBody::Replace(out) => Some(out),
        AtRequestBody::Cut => None,
        AtRequestBody::Confirm(..) | AtRequestBody::Reply(_) => panic!("nothing waits"),
    }
}

fn receive(rig: &mut Rig, exchange: &mut Exchange, bytes: &[u8]) -> Option<Vec<u8>> {
    rig.wait(5);
    rig.response_body(exchange, bytes, false)
}

fn told(entries: &[Value]) -> Vec<(&str, u64, &str)> {
    let streams = entries.iter().filter(|entry| entry["type"] == "stream");
    streams
        .map(|entry| {
            let channel = entry["channel"].as_str().unwrap();
            (channel, entry["position"].as_u64().unwrap(), entry["data"].as_str().unwrap())
        })
        .collect()
}

#[test]
fn an_exec_is_recorded_as_it_runs() {
    let mut rig = Rig::new(json!({}));
    let mut exchange = upgraded(&mut rig, EXEC, ACCEPT);
    let typed = [client(0x82, b"\x04{\"Width\":80,\"Height\":24}"), client(0x82, b"\x00ex")].concat();
    assert_eq!(send(&mut rig, &mut exchange, &typed), Some(typed.clone()));
    let prompt = server(0x82, b"\x01$ ");
    assert_eq!(receive(&mut rig, &mut exchange, &prompt), Some(prompt.clone()));
    let entries = rig.entries();
    assert_eq!(
        told(&entries),
        [("resize", 0, "{\"Width\":80,\"Height\":24}"), ("stdin", 0, "ex"), ("stdout", 0, "$ ")],
        "before it has ended"
    );
    let typed = [client(0x82, b"\x00it\r"), client(0x82, b"\xff\x00")].concat();
    assert_eq!(send(&mut rig, &mut exchange, &typed), Some(typed.clone()));
    let end = br#"{"metadata":{},"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}"#;
    let last = [
        server(0x82, b"\x01\x1b[0m\x00\xff"),
        server(0x82, &[b"\x03", &end[..]].concat()),
        server(0x88, b"\x03\xe8"),
    ]
    .concat();
    assert_eq!(receive(&mut rig, &mut exchange, &last), Some(last.clone()));
    assert_eq!(rig.response_body(&mut exchange, b"", true), Some(Vec::new()));
    exchange.on_log(&mut rig.gateway, rig.now);
    let entries = rig.entries();
    let request = &entries[1];
    assert_eq!((&request["type"], &request["verb"]), (&json!("request"), &json!("get")));
    assert_eq!(
        request["streamOptions"],
        json!({"container": "app", "command": ["sh", "-c", "echo a\necho b"], "stdin": true, "stdout": true, "stderr": true, "tty": true})
    );
    let streams: Vec<&Value> = entries.iter().filter(|entry| entry["type"] == "stream").collect();
    assert_eq!((&streams[0]["offset"], &streams[2]["offset"]), (&json!(5000), &json!(10_000)));
    assert_eq!((&streams[3]["data"], &streams[3]["position"]), (&json!("it\r"), &json!(2)));
    assert_eq!(streams[4]["closed"]["bytes"], 5);
    assert_eq!((&streams[5]["encoding"], &streams[5]["data"]), (&json!("base64"), &json!("G1swbQD/")));
    let ends: Vec<&Value> = entries.iter().filter(|entry| entry["type"] == "end").collect();
    let [end] = ends.as_slice() else { panic!("{ends:?}") };
    assert_eq!((&end["outcome"], &end["responseStatus"]["code"]), (&json!("complete"), &json!(101)));
    assert_eq!(
        (&end["stream"]["exitCode"], &end["stream"]["subprotocol"]),
        (&json!(3), &json!("v5.channel.k8s.io"))
    );
    let bytes: Vec<(&Value, &Value)> = end["stream"]["channels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|channel| (&channel["channel"], &channel["bytes"]))
        .collect();
    assert_eq!(bytes.len(), 4);
    assert_eq!(bytes[0], (&json!("stdin"), &json!(5)));
    assert_eq!(bytes[1], (&json!("stdout"), &json!(8)));
}

#[test]
fn only_what_is_understood_is_offered_upstream() {
    let mut rig = Rig::new(json!({}));
    let offered = "base64url.bearer.authorization.k8s.io.c2VjcmV0, v5.channel.k8s.io,v9.channel.k8s.io, v4.channel.k8s.io";
    let headers = with(OFFER, "sec-websocket-protocol", offered);
    let headers = with(&headers, "sec-websocket-extensions", "permessage-deflate");
    let (_, upstream) = offer(&mut rig, "GET", EXEC, &headers);
    for (name, expected) in [
        ("connection", Some("Upgrade")),
        ("upgrade", Some("websocket")),
        ("sec-websocket-key", Some(KEY)),
        ("sec-websocket-version", Some("13")),
        ("sec-websocket-protocol", Some("v5.channel.k8s.io, v4.channel.k8s.io")),
        ("sec-websocket-extensions", None),
    ] {
        assert_eq!(header(&upstream, name).as_deref(), expected, "{name}");
    }
    assert!(!rig.entries().iter().any(|entry| entry.to_string().contains("c2VjcmV0")));
}

#[test]
fn offers_that_cannot_be_recorded_are_refused() {
    let protocol = |offer| with(OFFER, "sec-websocket-protocol", offer);
    for (name, method, path, headers, code, message) in [
        ("no subprotocol", "GET", EXEC, protocol(""), 400, "offer one of v5.channel.k8s.io"),
        ("an unknown one", "GET", EXEC, protocol("v6.channel.k8s.io"), 400, "offer one of v5.channel.k8s.io"),
        ("in other letters", "GET", EXEC, protocol("V5.Channel.k8s.io"), 400, "offer one of"),
        (
            "a token alone",
            "GET",
            EXEC,
            protocol("base64url.bearer.authorization.k8s.io.eA"),
            400,
            "offer one of",
        ),
        ("a tunnel for exec", "GET", EXEC, protocol("SPDY/3.1+portforward.k8s.io"), 400, "offer one of"),
        ("v5 for ports", "GET", FORWARD, protocol("v5.channel.k8s.io"), 400, "SPDY/3.1+portforward.k8s.io"),
        ("another version", "GET", EXEC, with(OFFER, "sec-websocket-version", "8"), 400, "must be 13"),
        ("no key", "GET", EXEC, with(OFFER, "sec-websocket-key", ""), 400, "sec-websocket-key"),
        ("a short key", "GET", EXEC, with(OFFER, "sec-websocket-key", "AAAA"), 400, "sec-websocket-key"),
        (
            "ports that are none",
            "GET",
            "/api/v1/namespaces/shop/pods/web/portforward?ports=080",
            protocol("v4.channel.k8s.io"),
            400,
            "ports must be",
        ),
        ("by POST", "POST", EXEC, OFFER.to_vec(), 403, "unrecorded-streams"),
        (
            "SPDY without a version",
            "POST",
            EXEC,
            with(SPDY, VERSIONS, ""),
            400,
            "offer one of v4.channel.k8s.io",
        ),
        (
            "SPDY with a port's version",
            "GET",
            EXEC,
            with(SPDY, VERSIONS, "portforward.k8s.io"),
            400,
            "offer one",
        ),
        (
            "SPDY for ports with exec's",
            "POST",
            FORWARD,
            SPDY.to_vec(),
            400,
            "offer one of portforward.k8s.io",
        ),
        ("SPDY with a body", "POST", EXEC, with(SPDY, "content-length", "5"), 400, "has no body"),
        ("SPDY by PUT", "PUT", EXEC, SPDY.to_vec(), 403, "unrecorded-streams"),
        ("another SPDY", "POST", EXEC, with(SPDY, "upgrade", "SPDY/3"), 403, "WebSocket or SPDY/3.1"),
        ("no connection header", "GET", EXEC, with(OFFER, "connection", ""), 403, "unrecorded-streams"),
        ("two upgrades", "GET", EXEC, with(OFFER, "upgrade", "websocket, h2c"), 403, "unrecorded-streams"),
        ("a watch", "GET", "/api/v1/namespaces/shop/pods?watch=1", OFFER.to_vec(), 403, "unrecorded-streams"),
        ("a log", "GET", "/api/v1/namespaces/shop/pods/web/log", OFFER.to_vec(), 403, "unrecorded-streams"),
        ("no upgrade", "GET", EXEC, Vec::new(), 403, "unrecorded-streams"),
    ] {
        let mut rig = Rig::new(json!({}));
        let (_, begun) = rig.begin(method, path, &headers);
        let Begun::Reply(reply) = begun else { panic!("{name} goes on") };
        assert_eq!(reply.status, code, "{name}");
        let said = status(&reply)["message"].as_str().unwrap().to_owned();
        assert!(said.contains(message), "{name}: {said}");
        let entries = rig.entries_of("exchange");
        assert_eq!(entries[0]["decision"]["allowed"], false, "{name}");
        assert_eq!(
            entries[0]["streamOptions"].is_object(),
            path != FORWARD && path.contains("exec?") || path.contains("portforward"),
            "{name}"
        );
    }
}

#[test]
fn rules_still_see_exec() {
    let rules = json!([{"effect": "deny", "verbs": ["get"], "apiGroups": [""], "resources": ["pods/exec"]}]);
    let mut rig = Rig::new(json!({"access": {"rules": rules}}));
    let (_, begun) = rig.begin("GET", EXEC, OFFER);
    let Begun::Reply(reply) = begun else { panic!("a rule denies it") };
    assert_eq!(reply.status, 403);
    assert_eq!(rig.entries_of("exchange")[0]["decision"]["rule"], "access.rules[0]");
}

#[test]
fn an_exec_over_spdy_is_recorded_as_it_runs() {
    let mut rig = Rig::new(json!({}));
    let (mut exchange, upstream) = offer(&mut rig, "POST", EXEC, SPDY);
    let versions: Vec<&[u8]> = upstream
        .iter()
        .filter(|(name, _)| name == VERSIONS.as_bytes())
        .map(|(_, value)| value.as_slice())
        .collect();
    assert_eq!(versions, [&b"v4.channel.k8s.io"[..], b"v3.channel.k8s.io"]);
    assert_eq!(header(&upstream, "upgrade").as_deref(), Some("SPDY/3.1"));
    assert!(matches!(rig.respond(&mut exchange, 101, SPDY_ACCEPT), AtResponseHeaders::Pass(_)));
    let typed = [exec(), data(3, true, b"ls\n")].concat();
    assert_eq!(send(&mut rig, &mut exchange, &typed), Some(typed.clone()));
    let status = br#"{"metadata":{},"status":"Success"}"#;
    let printed = [data(5, true, b"a file\n"), data(1, true, status)].concat();
    assert_eq!(receive(&mut rig, &mut exchange, &printed), Some(printed.clone()));
    exchange.on_log(&mut rig.gateway, rig.now);
    let entries = rig.entries();
    assert_eq!(told(&entries)[..3], [("stdin", 0, "ls\n"), ("stdin", 3, ""), ("stdout", 0, "a file\n")]);
    let end = entries.last().unwrap();
    assert_eq!((&end["outcome"], &end["stream"]["exitCode"]), (&json!("complete"), &json!(0)));
    assert_eq!(end["stream"]["subprotocol"], "v4.channel.k8s.io");
}

#[test]
fn answers_that_do_not_fit_the_offer_are_withheld() {
    for (name, answer) in [
        ("another protocol", with(ACCEPT, "upgrade", "SPDY/3.1")),
        ("no handshake", with(ACCEPT, "sec-websocket-accept", "")),
        ("not offered", with(ACCEPT, "sec-websocket-protocol", "v4.channel.k8s.io")),
        ("none chosen", with(ACCEPT, "sec-websocket-protocol", "")),
        ("an extension", with(ACCEPT, "sec-websocket-extensions", "permessage-deflate")),
        ("the gateway's token", with(ACCEPT, "x-echo", super::rig::UPSTREAM_TOKEN)),
        ("WebSocket for SPDY", with(SPDY_ACCEPT, "upgrade", "websocket")),
        ("a version that was not offered", with(SPDY_ACCEPT, VERSIONS, "v2.channel.k8s.io")),
        ("no version", with(SPDY_ACCEPT, VERSIONS, "")),
    ] {
        let mut rig = Rig::new(json!({}));
        let asked = if name.contains("version") || name.contains("for SPDY") { SPDY } else { OFFER };
        let (mut exchange, _) = offer(&mut rig, "GET", EXEC, asked);
        let AtResponseHeaders::Reply(reply) = rig.respond(&mut exchange, 101, &answer) else {
            panic!("{name} passes")
        };
        assert_eq!(reply.status, 502, "{name}");
        assert!(matches!(rig.body(&mut exchange, b"x", false), AtRequestBody::Cut), "{name}");
    }
}

#[test]
fn an_answer_that_is_no_101_is_an_ordinary_one() {
    let mut rig = Rig::new(json!({}));
    let (mut exchange, _) = offer(&mut rig, "GET", EXEC, OFFER);
    let body = json!({"kind": "Status", "code": 404, "message": "pods \"web\" not found"});
    assert_eq!(rig.answer(&mut exchange, 404, &body), body);
    let entries = rig.entries();
    assert_eq!(entries[2]["responseObject"], body);
}

#[test]
fn bytes_before_the_switch_never_go_upstream() {
    let smuggled = b"GET /api/v1/secrets HTTP/1.1\r\n\r\n";
    let mut rig = Rig::new(json!({}));
    let (mut exchange, _) = offer(&mut rig, "GET", EXEC, OFFER);
    let AtRequestBody::Reply(reply) = rig.body(&mut exchange, smuggled, false) else { panic!("they pass") };
    assert_eq!(reply.status, 400);
    let (mut exchange, _) = offer(&mut rig, "GET", EXEC, OFFER);
    rig.respond(&mut exchange, 403, &[("content-type", "application/json")]);
    assert!(matches!(rig.body(&mut exchange, smuggled, false), AtRequestBody::Cut));
    let (mut exchange, _) = offer(&mut rig, "GET", EXEC, OFFER);
    rig.answer(&mut exchange, 403, &json!({}));
    assert!(matches!(rig.body(&mut exchange, smuggled, false), AtRequestBody::Cut));
}

#[test]
fn what_cannot_be_read_cuts_the_stream_and_the_record_says_so() {
    let mut rig = Rig::new(json!({}));
    let mut exchange = upgraded(&mut rig, EXEC, ACCEPT);
    assert!(send(&mut rig, &mut exchange, &client(0x82, b"\x00ls\r")).is_some());
    assert_eq!(send(&mut rig, &mut exchange, &client(0x02, b"\x00rm")), None);
    assert_eq!(send(&mut rig, &mut exchange, &client(0x82, b"\x00ls\r")), None);
    assert_eq!(receive(&mut rig, &mut exchange, &server(0x82, b"\x01x")), None);
    exchange.on_log(&mut rig.gateway, rig.now);
    let end = rig.entries_of("end");
    assert_eq!((end.len(), &end[0]["outcome"]), (1, &json!("cut")));
    assert!(end[0]["reason"].as_str().unwrap().contains("several frames"));
}

#[test]
fn trailers_end_a_stream_with_all_of_it_recorded() {
    let mut rig = Rig::new(json!({}));
    let mut exchange = upgraded(&mut rig, EXEC, ACCEPT);
    // The last byte begins a character.
    assert!(send(&mut rig, &mut exchange, &client(0x82, b"\x00ls\xc3")).is_some());
    let reply = exchange.on_request_trailers(&mut rig.gateway, rig.now);
    assert_eq!(reply.status, 400);
    assert_eq!(send(&mut rig, &mut exchange, &client(0x82, b"\x00rm\r")), None);
    exchange.on_log(&mut rig.gateway, rig.now);
    let entries = rig.entries();
    assert_eq!(told(&entries), [("stdin", 0, "ls"), ("stdin", 2, "ww==")]);
    let end = rig.entries_of("end");
    assert_eq!((end.len(), &end[0]["outcome"]), (1, &json!("cut")));
    assert_eq!(end[0]["stream"]["channels"][0]["bytes"], 3);
    assert!(end[0]["reason"].as_str().unwrap().contains("trailers"));
}

#[test]
fn a_stream_whose_record_is_not_acknowledged_is_cut() {
    let mut rig = Rig::new(json!({}));
    let mut exchange = upgraded(&mut rig, EXEC, ACCEPT);
    assert!(send(&mut rig, &mut exchange, &client(0x82, b"\x00a")).is_some());
    rig.wait(9_000);
    assert!(send(&mut rig, &mut exchange, &client(0x82, b"\x00b")).is_some(), "within the grace");
    rig.wait(2_000);
    assert!(send(&mut rig, &mut exchange, &client(0x89, b"")).is_none(), "beyond it");
    let end = rig.entries_of("end");
    assert_eq!(end[0]["outcome"], "cut");
    assert!(end[0]["reason"].as_str().unwrap().contains("has not acknowledged"));
    let digest = &end[0]["stream"]["channels"][0];
    assert_eq!((&digest["channel"], &digest["bytes"]), (&json!("stdin"), &json!(2)));
}

#[test]
fn a_stream_that_fills_the_outbox_is_cut_while_there_is_room_to_say_so() {
    let mut rig = Rig::new(json!({"recording": {"limits": {"outboxBytes": 1_048_576}}}));
    let mut exchange = upgraded(&mut rig, EXEC, ACCEPT);
    let piece = server(0x82, &[&b"\x01"[..], &vec![b'x'; 60_000]].concat());
    let passed = (0..40).take_while(|_| receive(&mut rig, &mut exchange, &piece).is_some()).count();
    assert!((10..20).contains(&passed), "{passed}");
    let end = rig.entries_of("end");
    assert!(end[0]["reason"].as_str().unwrap().contains("fill the outbox"));
}

#[test]
fn what_a_process_prints_is_masked_and_recorded_as_the_agent_got_it() {
    let patterns = json!({"enable": ["aws-access-key"], "applyTo": ["exec"]});
    let mut rig = Rig::new(json!({"masking": {"patterns": patterns}}));
    let mut exchange = upgraded(&mut rig, EXEC, ACCEPT);
    let printed = server(0x82, b"\x01id AKIAIOSFODNN7EXAMPLE\r\n$ ");
    let expected = server(0x82, b"\x01id [masked by chaperone]\r\n$ ");
    assert_eq!(receive(&mut rig, &mut exchange, &printed), Some(expected));
    exchange.on_log(&mut rig.gateway, rig.now);
    let entries = rig.entries();
    assert_eq!(told(&entries), [("stdout", 0, "id [masked by chaperone]\r\n$ ")]);
    let end = entries.last().unwrap();
    assert_eq!(end["masked"], json!([{"path": "stdout (aws-access-key)", "count": 1}]));
    assert_eq!(end["outcome"], "aborted");
}

#[test]
fn forwarded_ports_are_recorded_by_connection() {
    for (level, kept) in [("RequestResponse", true), ("Metadata", false)] {
        let rules = json!([{"level": level, "delivery": "Confirmed"}]);
        let mut rig = Rig::new(json!({"recording": {"rules": rules}}));
        let accept = with(ACCEPT, "sec-websocket-protocol", "v4.channel.k8s.io");
        let mut exchange = upgraded(&mut rig, FORWARD, &accept);
        let answer = [server(0x82, b"\x00\x90\x1f"), server(0x82, b"\x01\x90\x1f")].concat();
        receive(&mut rig, &mut exchange, &answer).unwrap();
        send(&mut rig, &mut exchange, &client(0x82, b"\x00GET /\r\n")).unwrap();
        receive(&mut rig, &mut exchange, &server(0x82, b"\x00hello")).unwrap();
        send(&mut rig, &mut exchange, &client(0x88, b"")).unwrap();
        exchange.on_log(&mut rig.gateway, rig.now);
        let entries = rig.entries();
        let expected: &[_] = if kept { &[("sent", 0, "GET /\r\n"), ("received", 0, "hello")] } else { &[] };
        assert_eq!(told(&entries), expected, "{level}");
        let end = entries.last().unwrap();
        assert_eq!(end["outcome"], "complete");
        let channels = end["stream"]["channels"].as_array().unwrap();
        assert_eq!(channels.len(), 2);
        assert_eq!(channels[0]["connection"], json!({"id": 0, "port": 8080}));
        assert_eq!((&channels[0]["channel"], &channels[0]["bytes"]), (&json!("sent"), &json!(7)));
        assert_eq!((&channels[1]["channel"], &channels[1]["bytes"]), (&json!("received"), &json!(5)));
    }
}

#[test]
fn the_last_bytes_go_out_with_the_end() {
    let custom = json!([{"name": "ticket", "regex": "ticket-[0-9]{6}"}]);
    let mut rig = Rig::new(json!({"masking": {"patterns": {"custom": custom}}}));
    let path = EXEC.replace("&tty=true", "");
    let mut exchange = upgraded(&mut rig, &path, ACCEPT);
    let bulk = server(0x82, &[&b"\x01"[..], &[b'x'; 5000]].concat());
    let first = receive(&mut rig, &mut exchange, &bulk).unwrap();
    let answer = exchange.on_response_body(&mut rig.gateway, rig.now, b"", true);
    let AtResponseBody::Replace(last) = answer else { panic!("what was held back goes out") };
    assert!(first.len() + last.len() > 5000);
    let end = rig.entries_of("end");
    assert_eq!(
        (&end[0]["outcome"], &end[0]["stream"]["channels"][0]["bytes"]),
        (&json!("complete"), &json!(5000))
    );
}
