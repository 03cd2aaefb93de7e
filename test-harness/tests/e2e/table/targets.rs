//! Request lines: methods, paths and queries that readers take for different things.

use super::request::{Request, get, line, request};
use super::{Expect, Row, Table, arrives, record, row};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::collections::BTreeMap;

const ORDERS: &str = "/api/v1/namespaces/orders";

const AMBIGUOUS: Expect = Expect::Refused(400, "request", "ambiguous");
const METHOD: Expect = Expect::Refused(405, "request", "method");

pub(super) fn rows() -> Vec<Row> {
    [paths(), queries(), methods(), lines(), sessions()].into_iter().flatten().collect()
}

fn paths() -> Vec<Row> {
    let mut rows = Vec::new();
    for target in [
        "/api%2Fv1/namespaces/orders/secrets/db",
        "/api/v1/namespaces/orders%2fsecrets",
        "/api/v1/namespaces/orders/pods%2F..%2Fsecrets%2Fdb",
        "/api/v1/namespaces//secrets",
        "/api/v1//namespaces/orders/secrets",
        "//api/v1/namespaces/orders/secrets",
        "/api/v1/namespaces/orders/./secrets",
        "/api/v1/namespaces/orders/pods/../secrets/db",
        "/healthz/../api/v1/secrets",
        "/api/v1/namespaces/orders/..",
        "/api/v1/namespaces/orders/%2e%2e/orders/secrets",
        "/api/v1/namespaces/orders/%2E/secrets",
        "/api/v1/namespaces/orders/.%2e/secrets",
        "/api/v1/namespaces/orders/secrets/db%00",
        "/api/v1/namespaces/orders/secrets/db%0d%0aX-Remote-User:%20admin",
        "/api/v1/namespaces/orders/secrets/db%7f",
        "/api/v1/namespaces/orders/secrets%25",
        "/api/v1/namespaces/orders/secrets%252Fdb",
        "/api/v1/namespaces/orders/secrets/%252e%252e",
        "/api/v1/namespaces/orders/secrets;v=1/db",
        "/api/v1/namespaces/orders/secrets%3Bx/db",
        "/api/v1/namespaces\\orders\\secrets",
        "/api/v1/namespaces/orders/secrets%5cdb",
        "/api/v1/namespaces/orders/secrets/%ff%fe",
        "/api/v1/namespaces/orders/secrets/%c0%ae%c0%ae",
        "/api/v1/namespaces/orders/secrets/%",
        "/api/v1/namespaces/orders/secrets/%4",
        "/api/v1/namespaces/orders/secrets/%zz",
        "/api/v1/namespaces/orders/secrets/%u002f",
        "/api/v1/proxy/namespaces/orders/pods/web-1",
        "/api/v1/watch",
        "/apis/apps/v1/watch",
    ] {
        rows.push(row(target, get(target), AMBIGUOUS));
    }
    let long = format!("{ORDERS}/pods/{}", "a".repeat(8200));
    rows.push(row("over 8192 bytes", get(&long), AMBIGUOUS));
    rows.push(row("65 segments", get(&"/a".repeat(65)), AMBIGUOUS));
    for target in [
        "/api/v1/namespaces/orders/pods/",
        "/api/v1/namespaces/orders/pods///",
        "/api/v1/namespaces/orders/secret%73/db",
        "/api/v1/namespaces/orders/Secrets",
        "/api/v1/namespaces/orders/pods/web-1+",
    ] {
        rows.push(row(format!("as it came: {target}"), get(target), arrives(target)));
    }
    rows
}

fn queries() -> Vec<Row> {
    let mut rows = Vec::new();
    for query in [
        "watch=true&watch=false",
        "watch=false&watch=true",
        "watch=1&%77atch=0",
        "fieldSelector=metadata.name%3Da&fieldSelector=metadata.name%3Ddb",
        "limit=1&limit=500",
        "watch=true;x=1",
        "x=1;dryRun=All",
        "watch=%",
        "watch=%zz",
        "labelSelector=%00",
        "labelSelector=a%0ab",
        "labelSelector=%ff",
    ] {
        let target = format!("{ORDERS}/secrets?{query}");
        rows.push(row(query, get(&target), AMBIGUOUS));
    }
    let many: Vec<String> = (0..257).map(|number| format!("p{number}=1")).collect();
    rows.push(row("257 parameters", get(&format!("{ORDERS}/pods?{}", many.join("&"))), AMBIGUOUS));
    for (query, upstream) in [
        ("access_token=abcdefghijklmnopqrstuvwxyz", ""),
        ("Access_Token=abcdefghijklmnopqrstuvwxyz&limit=5", "?limit=5"),
        ("limit=5&access%5Ftoken=abcdefghijklmnopqrstuvwxyz", "?limit=5"),
        ("id_token=abcdefghijklmnopqrstuvwxyz&token=abcdefghijklmnopqrstuvwxyz&limit=5", "?limit=5"),
        ("authorization=Bearer+abcdefghijklmnopqrstuvwxyz", ""),
        ("limit=5&limit=5", "?limit=5&limit=5"),
        ("as=admin", "?as=admin"),
        ("WATCH=true", "?WATCH=true"),
    ] {
        let target = format!("{ORDERS}/pods?{query}");
        rows.push(row(
            format!("stripped of credentials: {query}"),
            get(&target),
            arrives(format!("{ORDERS}/pods{upstream}")),
        ));
    }
    rows
}

fn methods() -> Vec<Row> {
    let pods = format!("{ORDERS}/pods");
    let mut rows = Vec::new();
    for method in ["OPTIONS", "TRACE", "PROPFIND", "PURGE", "SEARCH", "MKCOL", "LINK", "UNLOCK"] {
        rows.push(row(method, request(method, &pods), METHOD));
    }
    for header in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"] {
        let request = request("POST", &pods).header(format!("{header}: GET")).body("application/json", "{}");
        rows.push(row(format!("{header} is ignored"), request, arrives(pods.clone())));
    }
    for target in [format!("{ORDERS}/pods?watch=1"), "/api/v1/watch/namespaces/orders/pods".to_owned()] {
        let method = if target.contains("/watch/") { "DELETE" } else { "TRACE" };
        rows.push(row(format!("{method} of a watch"), request(method, &target), METHOD));
    }
    rows
}

/// What is not a plain origin form (RFC 9112, section 3.2).
fn lines() -> Vec<Row> {
    let secrets = format!("{ORDERS}/secrets");
    let raw = |target: &[u8]| -> Request {
        line([b"GET ".as_slice(), secrets.as_bytes(), target, b" HTTP/1.1"].concat())
    };
    vec![
        row("a fragment", get(&format!("{secrets}#/../pods")), Expect::Envoy(400)),
        row("absolute form", get(&format!("http://gateway{secrets}?watch=1&watch=0")), AMBIGUOUS),
        row("no slash in front", get("api/v1/secrets"), Expect::Envoy(400)),
        row("an asterisk", request("OPTIONS", "*"), Expect::Envoy(404)),
        row("GET of an asterisk", get("*"), Expect::Envoy(400)),
        row("CONNECT", line("CONNECT gateway:443 HTTP/1.1"), METHOD),
        row("lower-case method", request("get", &secrets), Expect::Envoy(400)),
        row("a method that is none", request("G\u{e9}T", &secrets), Expect::Envoy(400)),
        row("a method with NUL", line(format!("GET\0 {secrets} HTTP/1.1")), Expect::Envoy(400)),
        row("a space in the path", raw(b"/a b"), Expect::Envoy(400)),
        row("a tab in the path", raw(b"/a\tb"), Expect::Envoy(400)),
        row("NUL in the path", raw(b"/a\0b"), Expect::Envoy(400)),
        row("a carriage return in the path", raw(b"/a\rb"), Expect::Envoy(400)),
        row("UTF-8 in the path", raw("/\u{e9}".as_bytes()), Expect::Envoy(400)),
        row("Latin-1 in the path", raw(b"/\xe9"), Expect::Envoy(400)),
        row("HTTP/0.9", line(format!("GET {secrets}")), Expect::Envoy(426)),
        row("HTTP/1.0", line(format!("GET {secrets} HTTP/1.0")), Expect::Envoy(426)),
        row("HTTP/2.0 in text", line(format!("GET {secrets} HTTP/2.0")), Expect::Envoy(426)),
        row("HTTP/1.9", line(format!("GET {secrets} HTTP/1.9")), Expect::Envoy(426)),
        row(
            "two lines at once",
            line(format!("GET {secrets} HTTP/1.1\r\nGET /smuggled HTTP/1.1")),
            Expect::Envoy(400),
        ),
    ]
}

/// `/s/<session>` in front.
fn sessions() -> Vec<Row> {
    let mut rows = Vec::new();
    let long = "s".repeat(129);
    for prefix in [
        "/s/", "/s//", "/s/a/s/b", "/s/..", "/s/.", "/s/a%2Fb", "/s/a%20b", "/%73/a", "/s/a:b", "/s/a@b",
        "/s/a%00", "/s/a//",
    ]
    .into_iter()
    .chain([format!("/s/{long}").as_str()])
    {
        let target = format!("{prefix}{ORDERS}/pods");
        rows.push(row(format!("session prefix {prefix}"), get(&target), AMBIGUOUS));
    }
    rows.push(row("a session and nothing behind", get("/s/a"), AMBIGUOUS));
    rows.push(row("a session and a query only", get("/s/a?watch=1"), AMBIGUOUS));
    rows.push(row(
        "a session, taken off",
        get(&format!("/s/build-17{ORDERS}/pods?limit=5")),
        arrives(format!("{ORDERS}/pods?limit=5")),
    ));
    rows.push(row(
        "a session in upper case is a path",
        get(&format!("/S/a{ORDERS}/pods")),
        arrives(format!("/S/a{ORDERS}/pods")),
    ));
    rows
}

/// The capture of a real API server's classification, through the gateway.
pub(super) async fn captured(table: &mut Table<'_>) -> Result<()> {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../../../fixtures/request-info.json"))?;
    let mut told = BTreeMap::<&str, usize>::new();
    for case in &cases {
        let (method, target) =
            (case["method"].as_str().context("a method")?, case["target"].as_str().context("a target")?);
        // The capture wrote the target's bytes as Latin-1.
        let bytes: Vec<u8> = target.chars().map(|c| u32::from(c) as u8).collect();
        let sent = line([method.as_bytes(), b" ", &bytes, b" HTTP/1.1"].concat());
        let agent = format!("captured/{}", table.sent);
        table.sent += 1;
        table.arrived();
        let answers = table.client.send_raw(&sent.bytes(&table.token, &agent)).await;
        let answer = answers.with_context(|| format!("{method} {target}"))?.pop().context("no answer")?;
        let seen = table.arrived();
        let how = match (seen.as_slice(), answer.headers.get("audit-id")) {
            ([], None) => "refused by Envoy",
            ([], Some(_)) => {
                let reason = if answer.status == 400 { "ambiguous" } else { "method" };
                let (code, head) = (if answer.status == 400 { 400 } else { 405 }, method == "HEAD");
                table.refusal(target, answer, code, Some("request"), reason, head)?;
                "refused"
            }
            ([seen], Some(id)) => {
                ensure!(seen.uri == target && seen.method == method, "{method} {target} arrived as {seen:?}");
                let record = record(table.stage, id.to_str()?).await?;
                let audit = &case["audit"];
                ensure!(record["verb"] == audit["verb"], "{method} {target}: {}", record["verb"]);
                for name in ["apiGroup", "apiVersion", "resource", "subresource", "namespace", "name"] {
                    let (ours, theirs) = (&record["objectRef"][name], &audit[name]);
                    let same = ours.as_str().unwrap_or_default() == theirs.as_str().unwrap_or_default();
                    ensure!(
                        same || audit["resourceRequest"] == false,
                        "{method} {target}: {name} {ours}, not {theirs}"
                    );
                }
                "agreed"
            }
            _ => anyhow::bail!("{method} {target}: {seen:?}"),
        };
        *told.entry(how).or_default() += 1;
    }
    println!("captured request lines through Envoy: {told:?}, of {}", cases.len());
    ensure!(told.values().sum::<usize>() == cases.len(), "some are missing");
    Ok(())
}
