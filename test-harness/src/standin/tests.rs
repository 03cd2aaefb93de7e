//! What HTTP clients meet that kubectl does not show.

use hyper::client::conn::http1::{SendRequest, handshake};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

struct Client(SendRequest<Full<Bytes>>);

async fn started() -> Result<(Authority, StandIn, Client)> {
    let authority = Authority::new("stand-in");
    let stand_in = StandIn::start(Options { authority: &authority, tokens: vec!["good".to_owned()] }).await?;
    let stream = connected(&authority, stand_in.address()).await?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok((authority, stand_in, Client(sender)))
}

async fn connected(authority: &Authority, address: SocketAddr) -> Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from("localhost")?;
    Ok(TlsConnector::from(authority.client_config()).connect(name, stream).await?)
}

impl Client {
    async fn send(&mut self, line: &str, headers: &[(&str, &str)], body: &str) -> Result<Response<Incoming>> {
        let (method, uri) = line.split_once(' ').context("a method and a path")?;
        let mut request = Request::builder().method(method).uri(uri).header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.0.ready().await?;
        Ok(self.0.send_request(request.body(Full::new(Bytes::from(body.to_owned())))?).await?)
    }

    /// Sends with a good token, and reads the whole answer.
    async fn ask(&mut self, line: &str, headers: &[(&str, &str)], body: &str) -> Result<(u16, Value)> {
        let headers: Vec<_> = headers.iter().copied().chain([("authorization", "Bearer good")]).collect();
        let response = self.send(line, &headers, body).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }
}

#[tokio::test]
async fn refusals_are_statuses() -> Result<()> {
    let (_, _stand_in, mut client) = started().await?;
    let secrets = "/api/v1/namespaces/shop/secrets";
    for (case, line, headers, body, expected) in [
        ("nothing there", format!("GET {secrets}/nope"), vec![], "", (404, "NotFound")),
        ("no such type", "GET /api/v1/gadgets".to_owned(), vec![], "", (404, "NotFound")),
        ("taken", format!("POST {secrets}"), vec![], r#"{"metadata":{"name":"db"}}"#, (409, "AlreadyExists")),
        (
            "stale",
            format!("PUT {secrets}/db"),
            vec![],
            r#"{"metadata":{"name":"db","resourceVersion":"1"},"type":"Opaque"}"#,
            (409, "Conflict"),
        ),
        (
            "another type",
            format!("PUT {secrets}/db"),
            vec![],
            r#"{"metadata":{"name":"db"},"type":"x"}"#,
            (422, "Invalid"),
        ),
        (
            "another kind",
            format!("POST {secrets}"),
            vec![],
            r#"{"kind":"Pod","metadata":{"name":"x"}}"#,
            (400, "BadRequest"),
        ),
        (
            "another namespace",
            format!("POST {secrets}"),
            vec![],
            r#"{"metadata":{"name":"x","namespace":"y"}}"#,
            (400, "BadRequest"),
        ),
        ("no JSON", format!("POST {secrets}"), vec![], "{", (400, "BadRequest")),
        ("no method", format!("POST {secrets}/db"), vec![], "{}", (405, "MethodNotAllowed")),
        ("all namespaces", "DELETE /api/v1/namespaces".to_owned(), vec![], "", (405, "MethodNotAllowed")),
        (
            "protobuf only",
            format!("GET {secrets}"),
            vec![("accept", "application/vnd.kubernetes.protobuf")],
            "",
            (406, "NotAcceptable"),
        ),
        (
            "CBOR in",
            format!("POST {secrets}"),
            vec![("content-type", "application/cbor")],
            "",
            (415, "UnsupportedMediaType"),
        ),
        (
            "no kind of patch",
            format!("PATCH {secrets}/db"),
            vec![("content-type", "application/json")],
            "{}",
            (415, "UnsupportedMediaType"),
        ),
        (
            "apply by nobody",
            format!("PATCH {secrets}/db"),
            vec![("content-type", "application/apply-patch+yaml")],
            "{}",
            (400, "BadRequest"),
        ),
    ] {
        let (status, body) = client.ask(&line, &headers, body).await?;
        assert_eq!((status, body["reason"].as_str().unwrap_or_default()), expected, "{case}");
        assert_eq!((&body["kind"], &body["code"]), (&json!("Status"), &json!(status)), "{case}");
    }
    for (case, line, credential, expected) in [
        ("nobody", "GET /api", None, 401),
        ("nobody, but a probe", "GET /readyz?verbose", None, 200),
        ("a stranger", "GET /readyz", Some("Bearer bad"), 401),
        ("another scheme", "GET /api", Some("Basic good"), 401),
        ("a friend", "GET /api", Some("Bearer good"), 200),
    ] {
        let headers: Vec<_> = credential.iter().map(|credential| ("authorization", *credential)).collect();
        let response = client.send(line, &headers, "").await?;
        assert_eq!(response.status(), expected, "{case}");
        response.into_body().collect().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_deletion_with_a_body_ignores_the_query() -> Result<()> {
    let (_, _stand_in, mut client) = started().await?;
    for (case, line, body, left) in [
        ("tried, by query", "db?dryRun=All", "", 200),
        ("tried, by body", "db", r#"{"dryRun":["All"]}"#, 200),
        ("meant: the body says nothing", "db?dryRun=All", "{}", 404),
    ] {
        let (status, _) =
            client.ask(&format!("DELETE /api/v1/namespaces/shop/secrets/{line}"), &[], body).await?;
        assert_eq!(status, 200, "{case}");
        assert_eq!(client.ask("GET /api/v1/namespaces/shop/secrets/db", &[], "").await?.0, left, "{case}");
    }
    Ok(())
}

#[tokio::test]
async fn a_watch_tells_what_happens_after_its_version() -> Result<()> {
    let (_, stand_in, mut client) = started().await?;
    let (_, list) = client.ask("GET /api/v1/namespaces/shop/configmaps", &[], "").await?;
    let version = list["metadata"]["resourceVersion"].as_str().context("a version")?;
    for (line, body) in [
        ("POST /api/v1/namespaces/shop/configmaps", r#"{"metadata":{"name":"a"}}"#),
        ("PUT /api/v1/namespaces/shop/configmaps/a", r#"{"metadata":{"name":"a"},"data":{"k":"v"}}"#),
        ("PUT /api/v1/namespaces/shop/configmaps/a", r#"{"metadata":{"name":"a"},"data":{"k":"v"}}"#),
        ("POST /api/v1/namespaces/payments/configmaps", r#"{"metadata":{"name":"elsewhere"}}"#),
        ("DELETE /api/v1/namespaces/shop/configmaps/a", ""),
    ] {
        client.ask(line, &[], body).await?;
    }
    for (case, query, accept, expected) in [
        ("after a version", format!("resourceVersion={version}"), "*/*", "ADDED a, MODIFIED a, DELETED a"),
        ("from nothing", String::new(), "*/*", "ADDED settings"),
        (
            "with a mark",
            "sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan".to_owned(),
            "*/*",
            "ADDED settings, BOOKMARK ",
        ),
        (
            "metadata",
            String::new(),
            "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            "ADDED settings",
        ),
    ] {
        let line = format!("GET /api/v1/namespaces/shop/configmaps?watch=1&timeoutSeconds=1&{query}");
        let response =
            client.send(&line, &[("authorization", "Bearer good"), ("accept", accept)], "").await?;
        let body = response.into_body().collect().await?.to_bytes();
        let events: Vec<String> = body
            .split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
            .map(|event| {
                let name = event["object"]["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                format!("{} {name}", event["type"].as_str().unwrap_or_default())
            })
            .collect();
        assert_eq!(events.join(", "), expected, "{case}");
    }
    drop(stand_in);
    Ok(())
}

#[tokio::test]
async fn every_capture_is_said_again_byte_for_byte_in_any_pieces() -> Result<()> {
    let (_, stand_in, mut client) = started().await?;
    let captures = Capture::all()?;
    assert!(captures.len() > 100, "{} captures", captures.len());
    for capture in &captures {
        let case = format!("{} {}", capture.server, capture.name);
        let canned = capture.canned();
        let pieces = if canned.chunks.concat().len() < 4096 { 7 } else { 4096 };
        for canned in [canned.clone(), canned.in_pieces_of(pieces)] {
            let expected = canned.clone();
            stand_in.answer_next(canned);
            let response = client.send("GET /whatever", &[], "").await?;
            assert_eq!(response.status(), expected.status, "{case}");
            for (name, value) in &expected.headers {
                let said = response.headers().get(name).and_then(|said| said.to_str().ok());
                assert_eq!(said, Some(value.as_str()), "{case}: {name}");
            }
            let body = response.into_body().collect().await?.to_bytes();
            assert!(body == capture.body(), "{case}: another body");
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_log_has_what_arrived_and_how_it_was_answered() -> Result<()> {
    let (authority, stand_in, mut client) = started().await?;
    let headers = [("authorization", "Bearer good"), ("audit-id", "mine")];
    let response = client.send("POST /api/v1/namespaces/shop/secrets?dryRun=All", &headers, "{}").await?;
    assert_eq!(response.headers()["audit-id"], "mine");
    response.into_body().collect().await?;

    // A body that breaks off: what came is there, an answer is not.
    let mut broken = connected(&authority, stand_in.address()).await?;
    let part = b"POST /api/v1/namespaces HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\n{\"me";
    broken.write_all(part).await?;
    broken.shutdown().await?;
    // However it ends: then the server is done with it.
    drop(broken.read_to_end(&mut Vec::new()).await);

    let log = stand_in.log();
    let [first, second] = log.as_slice() else { panic!("{} entries", log.len()) };
    assert_eq!(
        (first.method.as_str(), first.uri.as_str()),
        ("POST", "/api/v1/namespaces/shop/secrets?dryRun=All")
    );
    assert_eq!((first.audit_id.as_str(), first.status, &first.body[..]), ("mine", Some(422), &b"{}"[..]));
    assert_eq!(first.headers["authorization"], "Bearer good");
    assert_eq!((second.method.as_str(), second.status, &second.body[..]), ("POST", None, &b"{\"me"[..]));
    assert!(!format!("{log:?}").contains("good"), "nothing secret is printed");
    Ok(())
}
