//! Headers: what would make the agent somebody else is stripped, what could be read two ways is refused.

use super::request::{Request, get};
use super::{Agent, Expect, Row, arrives, pods, row};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const PODS: &str = "/api/v1/namespaces/orders/pods";
const AMBIGUOUS: Expect = Expect::Refused(400, "request", "ambiguous");
/// There is no key, or no version.
const NO_HANDSHAKE: Expect = Expect::Refused(400, "request", "upgrade");
const UPGRADE: Expect = Expect::Refused(403, "guard:unrecorded-streams", "guard");

pub(super) fn rows(agent: &Agent) -> Vec<Row> {
    [stripped(agent), refused(), malformed(agent), upgrades(agent)].into_iter().flatten().collect()
}

/// A request that passes, and of these headers nothing arrives.
fn stripped(agent: &Agent) -> Vec<Row> {
    let protocol = format!("base64url.bearer.authorization.k8s.io.{}", URL_SAFE_NO_PAD.encode(&agent.token));
    let mut rows = Vec::new();
    for header in [
        "Impersonate-User: system:admin",
        "IMPERSONATE-GROUP: system:masters",
        "Impersonate-Uid: 0",
        "Impersonate-Extra-scopes: all",
        "Impersonate-Extra-chaperone.dev%2fsession: another",
        "X-Remote-User: admin",
        "X-Remote-Group: system:masters",
        "X-Remote-Extra-scopes: all",
        "X-Remote-Uid: 0",
        "X-ProxyUser-Name: admin",
        "Audit-ID: 11111111-2222-3333-4444-555555555555",
        "Cookie: session=admin",
        "Proxy-Authorization: Basic YTpi",
        "X-Forwarded-For: 203.0.113.7",
        "X-Forwarded-For: 127.0.0.1, 10.0.0.1",
        "X-Real-IP: 203.0.113.7",
        "True-Client-IP: 203.0.113.7",
        "CF-Connecting-IP: 203.0.113.7",
        "Forwarded: for=203.0.113.7",
        "Via: 1.1 cache",
        "X-Forwarded-Host: kubernetes.evil.example",
        "X-Forwarded-Port: 1",
        "X-Forwarded-Prefix: /s/other",
        "X-Forwarded-Client-Cert: Hash=00;Subject=\"CN=system:admin,O=system:masters\"",
        "X-Envoy-External-Address: 203.0.113.7",
        "X-Envoy-Internal: true",
        "X-Envoy-Original-Path: /api/v1/secrets",
        "X-Envoy-Upstream-Rq-Timeout-Ms: 1",
        "X-Envoy-Retry-On: 5xx",
        "X-Envoy-Max-Retries: 9",
        "X-Envoy-Decorator-Operation: x",
        "X-Original-URL: /api/v1/secrets",
        "X-Rewrite-URL: /api/v1/secrets",
        "X-Original-Method: DELETE",
        "X-Accel-Redirect: /api/v1/secrets",
        "X-Agent-Model: claude",
        "X-Agent-Session-Id: other",
        "Kubectl-Session: other",
        "Kubectl-Command: kubectl get pods",
        "Origin: https://evil.example",
        "Referer: https://evil.example",
        "Range: bytes=0-1",
        "If-Match: \"1\"",
        "Accept-Encoding: gzip, br",
        "TE: trailers",
        "Keep-Alive: timeout=5",
        "Priority: u=0",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "X-Odd: \t padded \t ",
    ] {
        rows.push(row(format!("stripped: {header}"), pods().header(header), arrives(PODS)));
    }
    rows.push(row(
        "stripped: the WebSocket bearer protocol",
        pods().header(format!("Sec-WebSocket-Protocol: v5.channel.k8s.io, {protocol}")),
        arrives(PODS),
    ));
    rows.push(row(
        "stripped: 30 impersonated groups",
        (0..30).fold(pods(), |request, number| request.header(format!("Impersonate-Group: g{number}"))),
        arrives(PODS),
    ));
    rows.push(row(
        "stripped: a header that is not UTF-8",
        pods().header(b"X-Odd: caf\xe9 \xff\xfe".as_slice()),
        arrives(PODS),
    ));
    rows.push(row(
        "a connection option that names a header",
        pods().without("connection").header("Connection: close, Authorization, X-Forwarded-For"),
        Expect::Envoy(400),
    ));
    rows
}

/// The filter's own refusals.
fn refused() -> Vec<Row> {
    let secrets = || get("/api/v1/namespaces/orders/secrets");
    vec![
        row("content-type not ASCII", pods().header(b"Content-Type: application/\xe9".as_slice()), AMBIGUOUS),
        row(
            "content-type twice",
            pods().header("Content-Type: application/json").header("Content-Type: application/yaml"),
            AMBIGUOUS,
        ),
        row("accept not ASCII", secrets().header(b"Accept: application/json, \xff".as_slice()), AMBIGUOUS),
        row(
            "accept only what cannot be masked",
            secrets().header("Accept: text/html"),
            Expect::Refused(406, "request", "accept"),
        ),
        row(
            "accept CBOR only",
            secrets().header("Accept: application/cbor"),
            Expect::Refused(406, "request", "accept"),
        ),
        row(
            "accept in upper case",
            secrets().header("Accept: APPLICATION/JSON"),
            Expect::Refused(406, "request", "accept"),
        ),
        row("user agent twice, which Envoy joins", pods().header("user-agent: kubectl"), arrives(PODS)),
    ]
}

/// What Envoy itself does not take, or makes one thing of.
fn malformed(agent: &Agent) -> Vec<Row> {
    let refused = |name: &str, request: Request| row(name, request, Expect::Envoy(400));
    // RFC 9112 lets it: a fold and a lone carriage return become spaces, LF alone ends a line.
    let tidied =
        |name: &str, request: Request| row(format!("tidied by Envoy: {name}"), request, arrives(PODS));
    vec![
        refused("no host", pods().without("host")),
        row("host twice", pods().header("Host: other"), AMBIGUOUS),
        refused("a space before the colon", pods().header("X-Odd : 1")),
        tidied("a space before the name", pods().header(" X-Odd: 1")),
        tidied("folded over two lines", pods().header("X-Odd: 1\r\n  Impersonate-User: admin")),
        tidied("folded with a tab", pods().header("Accept: application/json\r\n\t, text/html")),
        refused("no colon", pods().header("X-Odd")),
        refused("no name", pods().header(": 1")),
        refused("a line break in a name", pods().header("X-\nOdd: 1")),
        refused("NUL in a value", pods().header("X-Odd: a\0b")),
        refused("NUL in a name", pods().header("X-\0Odd: 1")),
        tidied("a carriage return in a value", pods().header("X-Odd: a\rImpersonate-User: admin")),
        refused("a name that is not a token", pods().header("X(Odd): 1")),
        refused("a name that is not ASCII", pods().header(b"X-\xe9: 1".as_slice())),
        refused("a pseudo-header", pods().header(":path: /api/v1/secrets")),
        refused("host with a path", pods().without("host").header("Host: gateway/api/v1/secrets")),
        refused("host not ASCII", pods().without("host").header(b"Host: g\xe9".as_slice())),
        row(
            "more than 60 KiB",
            pods().header(format!("X-Odd: {}", "x".repeat(61 << 10))),
            Expect::Envoy(431),
        ),
        row(
            "101 headers",
            (0..101).fold(pods(), |request, number| request.header(format!("X-{number}: 1"))),
            Expect::Envoy(431),
        ),
        tidied(
            "an identity folded into the user agent",
            pods().header("User-Agent: curl\r\n Impersonate-User: admin"),
        ),
        tidied(
            "an identity behind a carriage return",
            pods().header("User-Agent: wget\rImpersonate-User: admin"),
        ),
        tidied(
            "a credential folded",
            pods().without("authorization").header(format!("Authorization: Bearer\r\n {}", agent.token)),
        ),
        tidied("lines that end with LF only", pods().bare_newlines()),
    ]
}

/// Connections that become something else.
fn upgrades(agent: &Agent) -> Vec<Row> {
    let protocol = format!("base64url.bearer.authorization.k8s.io.{}", URL_SAFE_NO_PAD.encode(&agent.token));
    let upgrade = |target: &str, to: &str| {
        get(target).without("connection").header("Connection: Upgrade").header(format!("Upgrade: {to}"))
    };
    let exec = "/api/v1/namespaces/orders/pods/web-1/exec?command=id";
    vec![
        row("WebSocket for a watch", upgrade(&format!("{PODS}?watch=1"), "websocket"), UPGRADE),
        row("WebSocket for a log", upgrade(&format!("{PODS}/web-1/log?follow=1"), "websocket"), UPGRADE),
        row(
            "WebSocket for exec",
            upgrade(exec, "websocket")
                .header(format!("Sec-WebSocket-Protocol: v5.channel.k8s.io, {protocol}")),
            NO_HANDSHAKE,
        ),
        row("SPDY for exec", upgrade(exec, "SPDY/3.1"), NO_HANDSHAKE),
        row("exec without an upgrade", get(exec), UPGRADE),
        row(
            "h2c, which Envoy takes off",
            upgrade(PODS, "h2c").header("HTTP2-Settings: AAMAAABkAAQAAP__"),
            arrives(PODS),
        ),
        row("an unknown upgrade", upgrade(PODS, "tls/1.3"), Expect::Envoy(403)),
        row(
            "an upgrade that the connection does not name",
            pods().header("Upgrade: websocket"),
            arrives(PODS),
        ),
    ]
}
