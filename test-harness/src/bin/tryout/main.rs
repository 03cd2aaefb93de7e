//! What the try-out's containers run beside Envoy and the collector; docker-compose.yml says which runs what.

mod prepare;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chaperone_test_harness::client::Client;
use chaperone_test_harness::issuer::Issuer;
use chaperone_test_harness::pki::Authority;
use chaperone_test_harness::standin::{Options, StandIn};
use clap::{Args, Parser, Subcommand};
use hyper::Method;
use jiff::Timestamp;
use serde_json::json;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

/// How long a service may take to answer a probe.
const PATIENCE: Duration = Duration::from_secs(2);

/// One service of the try-out, or one step of it.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Makes keys, tokens, certificates and configurations where they are missing.
    Prepare(prepare::Arguments),
    /// An OIDC issuer over plain HTTP.
    Issuer {
        /// Where to listen.
        #[arg(long, default_value = "0.0.0.0:8089")]
        listen: SocketAddr,
    },
    /// A stand-in API server over TLS, with a small cluster in it.
    Kubernetes {
        /// Where to listen.
        #[arg(long, default_value = "0.0.0.0:6443")]
        listen: SocketAddr,
        /// The file with the bearer token it takes.
        #[arg(long)]
        token: PathBuf,
        /// Where to write the certificate of its authority.
        #[arg(long)]
        authority: PathBuf,
    },
    /// Prints an agent's kubeconfig, with a token of the issuer's in it.
    Kubeconfig(Agent),
    /// Whether something listens there, or answers a path with 200.
    Probe {
        /// Where.
        address: SocketAddr,
        /// The path, over plain HTTP.
        path: Option<String>,
    },
}

/// Who acts, and in whose name; what the token says.
#[derive(Args)]
struct Agent {
    /// The person.
    #[arg(long, default_value = "alice@example.com")]
    user: String,
    /// The agent.
    #[arg(long, default_value = "deploy-bot")]
    agent: String,
    /// The session.
    #[arg(long, default_value = "try-out")]
    session: String,
    /// The model.
    #[arg(long, default_value = "some-model")]
    model: String,
    /// How long the token is valid, in minutes.
    #[arg(long, default_value_t = 60)]
    minutes: u32,
    /// The gateway, as kubectl reaches it.
    #[arg(long, default_value = "https://localhost:8443")]
    server: String,
    /// The file with the certificate authority of the gateway.
    #[arg(long, default_value = "/etc/chaperone/gateway-ca.crt")]
    authority: PathBuf,
    /// Where the issuer listens.
    #[arg(long, default_value = "127.0.0.1:8089")]
    issuer: SocketAddr,
}

#[tokio::main]
async fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::Prepare(arguments) => prepare::run(&arguments),
        Task::Issuer { listen } => {
            let issuer = Issuer::listen(listen, Some(prepare::ISSUER.to_owned())).await?;
            println!("Issuer {} on {}.", issuer.url(), issuer.address());
            told_to_stop().await
        }
        Task::Kubernetes { listen, token, authority } => {
            let own = Authority::new("stand-in");
            let token = fs::read_to_string(&token).with_context(|| token.display().to_string())?;
            let options = Options { authority: &own, tokens: vec![token.trim().to_owned()] };
            let stand_in = StandIn::listen(listen, &[prepare::API_NAME], options).await?;
            fs::write(&authority, own.pem()).with_context(|| authority.display().to_string())?;
            println!("Stand-in API server on {}.", stand_in.address());
            told_to_stop().await
        }
        Task::Kubeconfig(agent) => kubeconfig(&agent).await,
        Task::Probe { address, path } => timeout(PATIENCE, probe(address, path)).await?,
    }
}

async fn probe(address: SocketAddr, path: Option<String>) -> Result<()> {
    let Some(path) = path else {
        TcpStream::connect(address).await?;
        return Ok(());
    };
    let answer = Client::plain(address).get(&path).await?;
    ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
    Ok(())
}

async fn kubeconfig(agent: &Agent) -> Result<()> {
    let claims = json!({
        "sub": agent.user, "groups": ["developers"], "act": {"sub": agent.agent}, "sid": agent.session,
        "model": agent.model, "exp": Timestamp::now().as_second() + 60 * i64::from(agent.minutes),
    });
    let answer = Client::plain(agent.issuer).send_json(Method::POST, "/mint", &claims).await?;
    ensure!(answer.status == 200, "the issuer answers {}: {}", answer.status, answer.text());
    let authority = fs::read(&agent.authority).with_context(|| agent.authority.display().to_string())?;
    let cluster = json!({"server": agent.server, "certificate-authority-data": STANDARD.encode(authority)});
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "chaperone", "cluster": cluster}],
        "users": [{"name": "agent", "user": {"token": answer.text()}}],
        "contexts": [{"name": "chaperone", "context": {"cluster": "chaperone", "user": "agent"}}],
        "current-context": "chaperone",
    });
    println!("{}", serde_json::to_string_pretty(&config)?);
    Ok(())
}

/// Waits for Ctrl-C or SIGTERM.
async fn told_to_stop() -> Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
