//! The harness's services on their own, for a try-out: an OIDC issuer, a stand-in API server, a token.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use chaperone_test_harness::issuer::Issuer;
use chaperone_test_harness::pki::Authority;
use chaperone_test_harness::standin::{Options, StandIn};
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

/// Runs one service of the test harness until it is told to stop.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    service: Service,
}

#[derive(Subcommand)]
enum Service {
    /// An OIDC issuer over plain HTTP. `POST /mint` signs the JSON claims it is given.
    Issuer {
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:8088")]
        listen: SocketAddr,
        /// The issuer's name (`iss`); by default the address it listens on.
        #[arg(long)]
        url: Option<String>,
    },
    /// A stand-in API server over TLS, with a small cluster in it.
    StandIn {
        /// Where to listen.
        #[arg(long, default_value = "127.0.0.1:6443")]
        listen: SocketAddr,
        /// Names in its certificate.
        #[arg(long = "name", default_values_t = ["localhost".to_owned(), "127.0.0.1".to_owned()])]
        names: Vec<String>,
        /// The bearer tokens it takes, separated by commas.
        #[arg(
            long = "token",
            env = "STAND_IN_TOKENS",
            hide_env_values = true,
            value_delimiter = ',',
            required = true
        )]
        tokens: Vec<String>,
        /// Where to write the certificate of its authority, which clients have to trust.
        #[arg(long)]
        authority: PathBuf,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    match Arguments::parse().service {
        Service::Issuer { listen, url } => {
            let issuer = Issuer::listen(listen, url).await?;
            println!("Issuer: {} on {}", issuer.url(), issuer.address());
            told_to_stop().await
        }
        Service::StandIn { listen, names, tokens, authority } => {
            let own = Authority::new("stand-in");
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let stand_in = StandIn::listen(listen, &names, Options { authority: &own, tokens }).await?;
            std::fs::write(&authority, own.pem())
                .with_context(|| format!("cannot write {}", authority.display()))?;
            println!("Stand-in API server: {}", stand_in.url());
            told_to_stop().await
        }
    }
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
