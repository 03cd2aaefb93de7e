//! `replay --serve`: the recorded responses, for whoever asks the recorded requests again.

use super::answer::{Answer, Recording, request_json};
use super::asked::{Content, Target};
use super::following::{Asked, Following, Found, Recorded, Report};
use super::{PAGE, discovery};
use crate::cli::source::Source;
use crate::cli::{Failure, Format, output, progress};
use crate::present::sanitize::line;
use crate::present::sentence::sentence;
use crate::store::model::{ExchangeSummary, SessionDetail};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use clap::Args;
use serde::Serialize;
use serde_json::json;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Largest request body that is read.
const MAX_BODY: usize = 64 << 20;

/// The token in the kubeconfig: without one kubectl asks for a name and a password. It opens nothing.
const TOKEN: &str = "replay";

#[derive(Args)]
pub(super) struct ServeArguments {
    /// Answer kubectl and agents at this address, over plain HTTP, with the recorded responses to the recorded
    /// requests, until Ctrl-C; then tell how far they followed the record. Port 0 is a free one.
    #[arg(long, value_name = "ADDR", conflicts_with_all = ["bodies", "all", "follow"])]
    serve: Option<SocketAddr>,
    /// Write a kubeconfig for what --serve serves to this file.
    #[arg(long, value_name = "FILE", requires = "serve")]
    write_kubeconfig: Option<PathBuf>,
    /// Answer from this session too, as if both were one: of requests without a valid token, for example, which are
    /// in sessions of their own.
    #[arg(long, value_name = "SESSION", requires = "serve")]
    also: Vec<String>,
    /// End once every recorded request was answered.
    #[arg(long, requires = "serve")]
    once: bool,
}

impl ServeArguments {
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.serve
    }
}

/// What the requests are answered from.
struct Replayer {
    following: Mutex<Following>,
    source: Source,
    /// Recorded resources: discovery whose bodies are not in the record is told from them.
    discovery: discovery::Discovery,
    /// Whose name a request must be for; none where it is open to other machines.
    host: Option<SocketAddr>,
    over: watch::Sender<bool>,
}

/// The report as JSON.
#[derive(Serialize)]
struct Printed<'a> {
    sessions: Vec<&'a str>,
    #[serde(flatten)]
    report: &'a Report,
}

/// Serves until it is told to stop. Exit status: 0 where the new run was the same, else 1.
pub(super) async fn run(
    source: Source,
    session: &str,
    arguments: &ServeArguments,
    address: SocketAddr,
    format: Format,
) -> Result<ExitCode, Failure> {
    let bar = progress::going("Reading");
    let sessions: Vec<&str> =
        std::iter::once(session).chain(arguments.also.iter().map(String::as_str)).collect();
    let record = read(&source, &sessions).await?;
    bar.finish_and_clear();
    // Asked for before anything can come.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    if let Some(path) = &arguments.write_kubeconfig {
        let failed = |source| Failure::File { path: path.clone(), source };
        std::fs::write(path, kubeconfig(address)).map_err(failed)?;
    }
    say(&begin(&record, &sessions, address, arguments.write_kubeconfig.as_deref()))?;
    let (over, mut all) = watch::channel(false);
    let replayer = Arc::new(Replayer {
        following: Mutex::new(Following::new(record.requests)),
        source,
        discovery: record.discovery,
        host: address.ip().is_loopback().then_some(address),
        over,
    });
    let router = Router::new().fallback(answer).with_state(replayer.clone());
    let once = arguments.once;
    let stop = async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = all.wait_for(|over| *over), if once => {}
        }
    };
    axum::serve(listener, router).with_graceful_shutdown(stop).await?;
    let report = replayer.following().report();
    match format {
        Format::Text => output::lines(report.lines())?,
        Format::Json | Format::Yaml => output::value(format, &Printed { sessions, report: &report })?,
    }
    Ok(if report.is_followed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What was read of the sessions.
struct Record {
    requests: Vec<Recorded>,
    discovery: discovery::Discovery,
    missing: usize,
    cut: usize,
}

async fn read(source: &Source, sessions: &[&str]) -> Result<Record, Failure> {
    let mut record =
        Record { requests: Vec::new(), discovery: discovery::Discovery::default(), missing: 0, cut: 0 };
    for session in sessions {
        let mut after = None::<String>;
        loop {
            let page: SessionDetail = source.session_detail(session, PAGE, after.as_deref()).await?;
            for exchange in &page.exchanges {
                read_exchange(source, exchange, &mut record).await?;
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    record.requests.sort_by_key(|recorded| recorded.began);
    Ok(record)
}

async fn read_exchange(
    source: &Source,
    exchange: &ExchangeSummary,
    record: &mut Record,
) -> Result<(), Failure> {
    let Some(head) = &exchange.requested else { return Ok(()) };
    let Some(detail) = source.exchange(&exchange.exchange).await? else { return Ok(()) };
    let answer = Answer::of(&detail);
    let mut target = Target::new(&head.method, &head.request_uri);
    let stream = head.stream_options.is_some() || answer.status == 101;
    if stream {
        target = target.of_stream();
    }
    record.discovery.learn(head, &detail);
    if target.is_discovery() {
        let missing = answer.recording == Recording::Missing && answer.status < 400;
        record.discovery.was_recorded(!missing);
        // An old API server has no OpenAPI v3. Its v2, which clients then ask for, cannot be made up.
        let made_up = missing || (target.path().starts_with("/openapi/v3") && answer.status == 404);
        if made_up {
            return Ok(());
        }
    }
    record.missing += usize::from(answer.recording == Recording::Missing && !stream);
    record.cut += usize::from(answer.recording == Recording::Cut && !stream);
    let digest = exchange.request_digest.as_ref().filter(|digest| digest.bytes > 0);
    record.requests.push(Recorded {
        exchange: exchange.exchange.clone(),
        target,
        content: Content::recorded(
            digest.map(|digest| digest.sha256.clone()),
            request_json(&detail).as_ref(),
        ),
        began: exchange.time.micros(),
        ended: exchange.timing.complete.map(|time| time.micros()),
        told: format!("{} {} ({})", line(&head.method), line(&head.request_uri), sentence(exchange)),
        stream,
    });
    Ok(())
}

impl Replayer {
    fn following(&self) -> std::sync::MutexGuard<'_, Following> {
        self.following.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn answer(State(replayer): State<Arc<Replayer>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    // A page in a browser of this machine may have made its own name lead here.
    let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    if replayer.host.is_some_and(|address| !is_own(host, address)) {
        return refused(StatusCode::MISDIRECTED_REQUEST, "Misdirected", "this is another host");
    }
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return refused(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", "the request is too large");
    };
    let uri = head.uri.path_and_query().map_or("/", |uri| uri.as_str());
    let upgrade = head.headers.contains_key(header::UPGRADE);
    let mut target = Target::new(head.method.as_str(), uri);
    let (discovery, path) = (target.is_discovery(), target.path().to_owned());
    if upgrade {
        target = target.of_stream();
    }
    let (method, told) = (line(head.method.as_str()), line(uri));
    let asked = Asked { target, content: Content::of(&body), method: &method, uri: &told };
    let (found, exchange, over) = {
        let mut following = replayer.following();
        let found = following.ask(&asked);
        let exchange = match found {
            Found::Recorded(index) => Some(following.recorded(index).exchange.clone()),
            Found::Nothing(_) => None,
        };
        (found, exchange, following.is_over())
    };
    let response = match (found, exchange) {
        (Found::Recorded(_), Some(_)) if upgrade => refused(
            StatusCode::NOT_IMPLEMENTED,
            "NotReplayed",
            "exec, attach and port-forward are recorded, but not served again; `chaperone replay --exchange` plays them",
        ),
        (Found::Recorded(_), Some(exchange)) => {
            recorded(&replayer, &exchange, discovery.then_some(path.as_str())).await
        }
        (Found::Nothing(what), _) => match replayer.discovery.answer(&path).filter(|_| discovery) {
            Some(document) => sent(StatusCode::OK, "application/json", document.to_string().into()),
            None => {
                refused(StatusCode::NOT_IMPLEMENTED, "NotInRecord", &format!("not in the record: {what}"))
            }
        },
        (Found::Recorded(_), None) => {
            refused(StatusCode::NOT_IMPLEMENTED, "NotInRecord", "not in the record")
        }
    };
    if over {
        replayer.over.send_replace(true);
    }
    response
}

async fn recorded(replayer: &Replayer, exchange: &str, discovery: Option<&str>) -> Response {
    let lost = |why: &str| {
        let why = format!("not in the record: {why} of exchange {exchange}");
        refused(StatusCode::NOT_IMPLEMENTED, "NotInRecord", &why)
    };
    let answer = match replayer.source.exchange(exchange).await {
        Ok(Some(detail)) => Answer::of(&detail),
        Ok(None) => return lost("anything"),
        Err(error) => return refused(StatusCode::BAD_GATEWAY, "Unreadable", &error.to_string()),
    };
    let status = match StatusCode::from_u16(answer.status) {
        Ok(status) if answer.recording != Recording::Missing => status,
        Ok(_) => return lost("the response's body, only its digest,"),
        Err(_) => return lost("a response"),
    };
    if status == StatusCode::NOT_MODIFIED
        && let Some(document) = discovery.and_then(|path| replayer.discovery.answer(path))
    {
        // The recorded client had it in its cache; this one may not.
        return sent(StatusCode::OK, "application/json", document.to_string().into());
    }
    let mut response = sent(status, answer.content_type, answer.body.into());
    if let Ok(id) = HeaderValue::from_str(exchange) {
        response.headers_mut().insert("audit-id", id);
    }
    if answer.recording == Recording::Cut {
        let warning =
            HeaderValue::from_static("299 chaperone \"only the first part of this response was recorded\"");
        response.headers_mut().insert(header::WARNING, warning);
    }
    response
}

/// A `Status` that kubectl prints as it prints the API server's.
fn refused(status: StatusCode, reason: &str, message: &str) -> Response {
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("chaperone replay: {message}"), "reason": reason, "code": status.as_u16()});
    sent(status, "application/json", body.to_string().into())
}

fn sent(status: StatusCode, content_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn is_own(host: &str, address: SocketAddr) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) => (name, port.parse().ok()),
        None => (host, Some(80)),
    };
    let ip = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    port == Some(address.port()) && (name == "localhost" || ip.is_ok_and(|ip| ip.is_loopback()))
}

fn kubeconfig(address: SocketAddr) -> String {
    let name = "chaperone-replay";
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": format!("http://{}", reached(address))}}],
        "users": [{"name": name, "user": {"token": TOKEN}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    });
    // JSON is YAML, which is what kubectl reads.
    format!("{config:#}\n")
}

/// Where a client on this machine reaches what listens everywhere.
fn reached(address: SocketAddr) -> SocketAddr {
    if !address.ip().is_unspecified() {
        return address;
    }
    let ip: IpAddr = match address {
        SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, address.port())
}

/// What is said before the first request.
fn begin(record: &Record, sessions: &[&str], address: SocketAddr, kubeconfig: Option<&Path>) -> Vec<String> {
    let names: Vec<_> = sessions.iter().map(|session| line(session)).collect();
    let requests = record.requests.iter().filter(|recorded| !recorded.target.is_discovery()).count();
    let reached = reached(address);
    let mut out = vec![format!("Replaying session {} at http://{reached}", names.join(", "))];
    out.push(format!("  {requests} requests are in the record, discovery aside"));
    match kubeconfig {
        Some(path) => out.push(format!("  export KUBECONFIG={}", line(&path.display().to_string()))),
        None => out.push(format!("  kubectl --server http://{reached} --token {TOKEN} …")),
    }
    if record.missing > 0 {
        out.push(format!(
            "WARNING: of {} responses the body is not in the record: they were recorded at level Metadata. Requests \
            for them are answered with an error. Record at level RequestResponse what is to be replayed.",
            record.missing
        ));
    }
    if record.cut > 0 {
        out.push(format!(
            "WARNING: {} responses were longer than what was recorded of them (recording.limits.maxBodyBytes).",
            record.cut
        ));
    }
    if !record.discovery.is_recorded() {
        out.push(
            "Discovery was not recorded with bodies: it is made up from the recorded requests, with the names of \
            resources only."
                .to_owned(),
        );
    }
    if !address.ip().is_loopback() {
        out.push(format!("WARNING: whoever reaches {address} can read the record."));
    }
    out
}

/// To standard error: standard output is the report's.
fn say(lines: &[String]) -> Result<(), Failure> {
    use std::io::Write as _;
    let mut err = anstream::AutoStream::auto(std::io::stderr()).lock();
    for line in lines {
        writeln!(err, "{line}")?;
    }
    Ok(err.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_server_answers_to_no_other_name() {
        let address = "127.0.0.1:8001".parse().unwrap();
        for (host, own) in [
            ("127.0.0.1:8001", true),
            ("localhost:8001", true),
            ("[::1]:8001", true),
            ("evil.example.com:8001", false),
            ("127.0.0.1:80", false),
            ("localhost.example.com:8001", false),
            ("", false),
        ] {
            assert_eq!(is_own(host, address), own, "{host}");
        }
    }
}
