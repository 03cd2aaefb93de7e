//! The pods that the rows use, and what listens in them.

use anyhow::{Result, ensure};
use chaperone_test_harness::kubelet::Kubelet;
use chaperone_test_harness::stage::Stage;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// Where they are.
pub const NAMESPACE: &str = "terminal";

/// Each pod's own command.
const COMMANDS: [(&str, &str); 2] = [
    ("shell", "read name; echo \"hello $name\"; echo oops >&2; cat"),
    ("talker", "i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo \"line $i of the talker\"; sleep 0.02; done"),
];

/// Running pods with an HTTP server.
pub struct Pods {
    /// The HTTP server's port.
    pub port: u16,
    /// What it answers.
    pub page: Bytes,
    server: AbortHandle,
    _kubelet: Option<Kubelet>,
}

impl Pods {
    /// Makes them.
    pub async fn start(stage: &Stage) -> Result<Self> {
        let admin = stage.direct()?;
        let commands =
            COMMANDS.map(|(pod, script)| (pod.to_owned(), ["sh", "-c", script].map(str::to_owned).to_vec()));
        let mut kubelet = None;
        if stage.is_real() {
            let started = kubelet.insert(Kubelet::start(stage.pki(), HashMap::from(commands.clone())).await?);
            started.register("node", &admin).await?;
        }
        let create = async |path: &str, object: Value| {
            let made = admin.send_json(Method::POST, path, &object).await?;
            ensure!(made.status == 201, "{path}: {}", made.text());
            anyhow::Ok(())
        };
        create(
            "/api/v1/namespaces",
            json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": NAMESPACE}}),
        )
        .await?;
        let pods = format!("/api/v1/namespaces/{NAMESPACE}/pods");
        for (name, command) in commands {
            let mut pod = json!({
                "kind": "Pod", "apiVersion": "v1", "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {"nodeName": "node", "containers": [
                    {"name": "main", "image": "registry.example.com/shop:1.4", "command": command, "stdin": true},
                ]},
            });
            create(&pods, pod.clone()).await?;
            pod["status"] = json!({
                "phase": "Running", "podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{
                    "name": "main", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                    "state": {"running": {"startedAt": "2026-01-05T08:00:00Z"}},
                }],
            });
            let set = admin.send_json(Method::PUT, &format!("{pods}/{name}/status"), &pod).await?;
            ensure!(set.status == 200, "{name}'s status: {}", set.text());
        }
        let mut page = vec![0; 3 << 20];
        fastrand::Rng::with_seed(1).fill(&mut page);
        let page = Bytes::from(page);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let server = tokio::spawn(serve(listener, page.clone())).abort_handle();
        Ok(Self { port, page, server, _kubelet: kubelet })
    }
}

impl Drop for Pods {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, page: Bytes) {
    while let Ok((stream, _)) = listener.accept().await {
        let page = page.clone();
        tokio::spawn(async move {
            let service = service_fn(move |_: Request<Incoming>| {
                let page = page.clone();
                async move { Ok::<_, Infallible>(Response::new(Full::new(page))) }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
