//! What runs in a pod's container and how clients reach it: exec, attach, port-forward and followed logs, as a kubelet serves them.
//!
//! | module | what it is |
//! |---|---|
//! | `process` | a real process, under a terminal where one is asked for |
//! | `websocket` | its channels as WebSocket messages |
//! | `spdy`, `frame`, `dictionary` | streams of SPDY/3.1 |
//! | `remote` | its channels as SPDY streams |
//! | `forward` | ports, over either |
//!
//! [`serve`] answers the handshake and leaves the rest to a task of its own, which ends with the connection. Processes run on
//! this machine, as the user of the tests.

mod dictionary;
mod forward;
pub mod frame;
mod process;
mod remote;
mod spdy;
mod websocket;

use hyper::body::Bytes;
use hyper::header::{
    CONNECTION, HeaderMap, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

pub(crate) use self::process::{followed, main_command};

/// What a client asks a container for.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// A process of its own.
    Run {
        /// The program and its arguments.
        command: Vec<String>,
        /// Which of its streams the client has.
        streams: Streams,
    },
    /// Connections to ports of the pod; they are named up front only where channels carry them.
    Forward(Vec<u16>),
    /// A text, then what the process prints, if there is one.
    Log(Bytes, Option<Vec<String>>),
}

/// The streams a client opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Streams {
    pub(crate) stdin: bool,
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
    pub(crate) tty: bool,
}

/// One of the streams of a process; clients set the terminal's size on 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Channel {
    Stdin = 0,
    Stdout = 1,
    Stderr = 2,
    Error = 3,
}

/// A terminal's size, as clients write it.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Size {
    width: u16,
    height: u16,
}

/// A process's side of a connection.
struct Io {
    stdin: mpsc::Receiver<Bytes>,
    sizes: mpsc::Receiver<Size>,
    out: mpsc::Sender<(Channel, Bytes)>,
}

/// How the client and the server have agreed to talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    /// Channels in WebSocket messages.
    Channels(websocket::Coding),
    /// One stream in WebSocket messages: a log.
    Plain(websocket::Coding),
    /// SPDY in WebSocket messages.
    Tunnel,
    /// SPDY.
    Spdy,
}

// === impl Ask ===

impl Ask {
    /// What a query asks for, in the API server's words or the kubelet's.
    pub(crate) fn exec(query: &str) -> Self {
        Self::Run { command: values(query, &["command"]), streams: Streams::of(query) }
    }

    /// The same, of a process that the pod names.
    pub(crate) fn attach(query: &str, command: Vec<String>) -> Self {
        Self::Run { command, streams: Streams::of(query) }
    }

    /// The ports in the query, if any.
    pub(crate) fn forward(query: &str) -> Self {
        let named = values(query, &["ports", "port"]);
        Self::Forward(
            named.iter().flat_map(|ports| ports.split(',')).filter_map(|port| port.parse().ok()).collect(),
        )
    }
}

impl Streams {
    fn of(query: &str) -> Self {
        let is_on = |names: &[&str]| {
            values(query, names).first().is_some_and(|value| matches!(value.as_str(), "1" | "true" | "True"))
        };
        let tty = is_on(&["tty"]);
        Self {
            stdin: is_on(&["stdin", "input"]),
            stdout: is_on(&["stdout", "output"]),
            stderr: is_on(&["stderr", "error"]) && !tty,
            tty,
        }
    }
}

/// Every value of the fields with one of these names, in the order of the query.
fn values(query: &str, names: &[&str]) -> Vec<String> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    pairs.filter(|(name, _)| names.contains(&name.as_ref())).map(|(_, value)| value.into_owned()).collect()
}

/// Whether a request wants to switch protocols.
pub(crate) fn is_upgrade(request: &Parts) -> bool {
    listed(&request.headers, CONNECTION.as_str()).any(|token| token.eq_ignore_ascii_case("upgrade"))
        && request.headers.contains_key(UPGRADE)
}

/// Answers the handshake, and serves the connection once it has switched. An error says why it cannot.
pub(crate) fn serve(request: &Parts, ask: Ask) -> Result<Response<()>, String> {
    if !is_upgrade(request) {
        return Err("unable to upgrade: missing upgrade headers in request".to_owned());
    }
    let mut response =
        Response::builder().status(StatusCode::SWITCHING_PROTOCOLS).header(CONNECTION, "Upgrade");
    let wanted = listed(&request.headers, UPGRADE.as_str()).next().unwrap_or_default();
    let protocol = if wanted.eq_ignore_ascii_case("websocket") {
        let key = request.headers.get(SEC_WEBSOCKET_KEY).ok_or("no Sec-WebSocket-Key")?;
        let offered: Vec<&str> = listed(&request.headers, SEC_WEBSOCKET_PROTOCOL.as_str()).collect();
        let (protocol, name) = websocket::choose(&offered, &ask)
            .ok_or_else(|| format!("none of the protocols is supported: {offered:?}"))?;
        response = response
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()));
        if !name.is_empty() {
            response = response.header(SEC_WEBSOCKET_PROTOCOL, name);
        }
        protocol
    } else if wanted.eq_ignore_ascii_case("SPDY/3.1") {
        let offered: Vec<&str> = listed(&request.headers, spdy::VERSION).collect();
        let name = remote::choose(&offered, &ask).ok_or_else(|| {
            format!("unable to upgrade: unable to negotiate protocol: client supports {offered:?}")
        })?;
        response = response.header(UPGRADE, "SPDY/3.1").header(spdy::VERSION, name);
        Protocol::Spdy
    } else {
        return Err(format!("unable to upgrade to {wanted}"));
    };
    let upgrade = hyper::upgrade::on(Request::from_parts(request.clone(), ()));
    tokio::spawn(async move {
        // A client that went away during the handshake.
        let Ok(connection) = upgrade.await else { return };
        let connection = TokioIo::new(connection);
        if protocol == Protocol::Spdy {
            let (read, write) = tokio::io::split(connection);
            return spdy_session(read, write, ask).await;
        }
        let socket = WebSocketStream::from_raw_socket(connection, Role::Server, None).await;
        match (protocol, ask) {
            (Protocol::Channels(coding), Ask::Forward(ports)) => {
                forward::over_channels(socket, coding, &ports).await
            }
            (Protocol::Channels(coding), Ask::Run { command, streams }) => {
                websocket::run(socket, coding, command, streams).await;
            }
            (Protocol::Plain(coding), Ask::Log(text, command)) => {
                websocket::log(socket, coding, text, command).await
            }
            (Protocol::Tunnel, ask) => {
                let (read, write) = websocket::tunnel(socket);
                spdy_session(read, write, ask).await;
            }
            _ => {}
        }
    });
    response.body(()).map_err(|error| error.to_string())
}

async fn spdy_session<R, W>(read: R, write: W, ask: Ask)
where
    R: tokio::io::AsyncRead + Unpin,
    W: tokio::io::AsyncWrite + Unpin,
{
    match ask {
        Ask::Run { command, streams } => {
            spdy::session(read, write, |opened| remote::run(opened, command, streams)).await;
        }
        Ask::Forward(_) => spdy::session(read, write, forward::over_streams).await,
        Ask::Log(..) => {}
    }
}

/// The members of a header that is a list, over all its lines.
fn listed<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    let lines = headers.get_all(name).iter().collect::<Vec<_>>();
    let lines = lines.into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|token| !token.is_empty())
}
