//! A small kubelet: what a real kube-apiserver asks for when a client executes, attaches, forwards ports or follows logs.
//!
//! It registers a node and runs nothing of its own accord: what is executed in a pod is a process on this machine.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderValue;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::client::Client;
use crate::container::{self, Ask};
use crate::pki::Authority;

type Body = UnsyncBoxBody<Bytes, Infallible>;
/// The commands of pods, by name: what attaching reaches, and what logs are of.
type Commands = HashMap<String, Vec<String>>;

/// A running kubelet; it stops when dropped.
pub struct Kubelet {
    address: SocketAddr,
    server: AbortHandle,
}

// === impl Kubelet ===

impl Kubelet {
    /// Starts on a free loopback port. `commands` are the pods' own, by name.
    pub async fn start(authority: &Authority, commands: HashMap<String, Vec<String>>) -> Result<Self> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("the kubelet cannot listen")?;
        let address = listener.local_addr()?;
        let acceptor = TlsAcceptor::from(authority.issue(&["127.0.0.1"]).server_config());
        let server = tokio::spawn(serve(listener, acceptor, Arc::new(commands))).abort_handle();
        Ok(Self { address, server })
    }

    /// Makes it a node of the cluster.
    pub async fn register(&self, name: &str, admin: &Client) -> Result<()> {
        let mut node = json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": name}});
        let made = admin.send_json(Method::POST, "/api/v1/nodes", &node).await?;
        ensure!(made.status == 201, "the node: {}", made.text());
        node["status"] = json!({
            "addresses": [{"type": "InternalIP", "address": self.address.ip().to_string()}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.address.port()}},
        });
        let set = admin.send_json(Method::PUT, &format!("/api/v1/nodes/{name}/status"), &node).await?;
        ensure!(set.status == 200, "the node's status: {}", set.text());
        Ok(())
    }
}

impl Drop for Kubelet {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, commands: Arc<Commands>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (acceptor, commands) = (acceptor.clone(), commands.clone());
        connections.spawn(async move {
            stream.set_nodelay(true).ok();
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(move |request| {
                let commands = commands.clone();
                async move { Ok::<_, Infallible>(answer(request, &commands)) }
            });
            // A client that goes away ends its own connection only.
            let _ = hyper::server::conn::http1::Builder::new()
                .title_case_headers(true)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
                .await;
        });
    }
}

/// `/exec/NAMESPACE/POD/CONTAINER` and its kind.
fn answer(request: Request<Incoming>, commands: &Commands) -> Response<Body> {
    let (request, _) = request.into_parts();
    let query = request.uri.query().unwrap_or_default();
    let parts: Vec<&str> = request.uri.path().trim_matches('/').split('/').collect();
    let command = parts.get(2).and_then(|pod| commands.get(*pod)).cloned();
    let ask = match parts.first() {
        Some(&"exec") => Ask::exec(query),
        Some(&"attach") => Ask::attach(query, command.unwrap_or_default()),
        Some(&"portForward") => Ask::forward(query),
        Some(&"containerLogs") => {
            let follows = query.split('&').any(|pair| pair == "follow=true");
            let command = command.filter(|_| follows);
            if container::is_upgrade(&request) {
                Ask::Log(Bytes::new(), command)
            } else {
                let mut response = Response::new(container::followed(command, Bytes::new()).boxed_unsync());
                response.headers_mut().insert("content-type", HeaderValue::from_static("text/plain"));
                return response;
            }
        }
        _ => return said(StatusCode::NOT_FOUND, "404 page not found".to_owned()),
    };
    match container::serve(&request, ask) {
        Ok(response) => response.map(|()| Full::default().boxed_unsync()),
        Err(message) => said(StatusCode::BAD_REQUEST, message),
    }
}

fn said(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Full::from(text).boxed_unsync());
    *response.status_mut() = status;
    response
}
