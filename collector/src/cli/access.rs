//! How people get in to what `serve` serves: TLS, sessions, an issuer, links; and how much is taken from whom.

use super::serve::at_least_one;
use super::{Failure, output};
use crate::server::access::Options;
use crate::server::{Limits, now, oidc, tls};
use crate::store::filter::span;
use crate::store::login::{Lifetime, secret};
use crate::store::{Database, Reader, Writer};
use clap::Args;
use openidconnect::{ClientId, ClientSecret, IssuerUrl};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use zeroize::Zeroizing;

#[derive(Args)]
pub(super) struct AccessArguments {
    /// Where browsers find the collector, like https://records.example.com. Default: where it listens.
    #[arg(long, value_name = "URL", value_parser = public_url)]
    public_url: Option<String>,
    /// Serve TLS with this certificate (PEM, with its chain). It is read again on SIGHUP, and when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The OpenID Connect issuer that people log in with.
    #[arg(long, value_name = "URL", value_parser = issuer, requires = "oidc_client_id")]
    oidc_issuer: Option<IssuerUrl>,
    /// What the collector is called at the issuer. Its redirect URL there is PUBLIC_URL/login/callback.
    #[arg(long, value_name = "ID", requires = "oidc_issuer")]
    oidc_client_id: Option<String>,
    /// The file with what it proves that with. Without one, it is a public client.
    #[arg(long, value_name = "FILE", requires = "oidc_issuer")]
    oidc_client_secret_file: Option<PathBuf>,
    /// What to ask the issuer for, besides `openid`; more than once for more.
    #[arg(long, value_name = "SCOPE", default_values = ["profile", "email"])]
    oidc_scope: Vec<String>,
    /// The claim of the ID token with a person's groups.
    #[arg(long, value_name = "CLAIM", default_value = "groups")]
    oidc_groups_claim: String,
    /// A group whose members read records; more than once for more.
    #[arg(long, value_name = "GROUP", requires = "oidc_issuer")]
    oidc_auditor_group: Vec<String>,
    /// A group whose members are admins; more than once for more.
    #[arg(long, value_name = "GROUP", requires = "oidc_issuer")]
    oidc_admin_group: Vec<String>,
    /// Print a link that logs an admin in once, also where there is one already.
    #[arg(long)]
    admin_login: bool,
    /// How long a login lasts unused.
    #[arg(long, value_name = "SPAN", value_parser = span, default_value = "1h")]
    login_idle: Duration,
    /// How long a login lasts in any case.
    #[arg(long, value_name = "SPAN", value_parser = span, default_value = "12h")]
    login_lifetime: Duration,
    /// How long a client may take for a request's head, and then for its body; and be idle.
    #[arg(long, value_name = "SPAN", value_parser = span, default_value = "30s")]
    client_timeout: Duration,
    /// Most connections at a time; for a new one, the one that has waited longest for a request is closed.
    #[arg(long, default_value_t = Limits::default().connections, value_parser = at_least_one)]
    max_connections: usize,
    /// Most batches a second of one recorder, on average; more is answered 429.
    #[arg(long, value_name = "BATCHES", default_value_t = Limits::default().recorder_rate, value_parser = clap::value_parser!(u32).range(1..))]
    recorder_rate: u32,
    /// Most batches a second with one token, on average; more is answered 429.
    #[arg(long, value_name = "BATCHES", default_value_t = Limits::default().token_rate, value_parser = clap::value_parser!(u32).range(1..))]
    token_rate: u32,
}

impl AccessArguments {
    pub(super) fn limits(&self) -> Limits {
        Limits {
            client_timeout: self.client_timeout.max(Duration::from_millis(1)),
            connections: self.max_connections,
            recorder_rate: self.recorder_rate,
            token_rate: self.token_rate,
            ..Limits::default()
        }
    }

    pub(super) fn options(&self) -> Result<Options, Failure> {
        let oidc = self.oidc_issuer.as_ref().zip(self.oidc_client_id.as_ref());
        let oidc = oidc.map(|(issuer, client)| self.oidc(issuer, client)).transpose()?;
        Ok(Options { public_url: self.public_url.clone(), lifetime: self.lifetime(), oidc })
    }

    pub(super) fn tls(&self) -> Option<tls::Files> {
        let (certificate, key) = self.tls_cert.clone().zip(self.tls_key.clone())?;
        Some(tls::Files { certificate, key })
    }

    fn lifetime(&self) -> Lifetime {
        Lifetime { idle: self.login_idle, absolute: self.login_lifetime }
    }

    fn oidc(&self, issuer: &IssuerUrl, client: &str) -> Result<oidc::Options, Failure> {
        if self.oidc_auditor_group.is_empty() && self.oidc_admin_group.is_empty() {
            tracing::warn!("No group may read: give --oidc-auditor-group or --oidc-admin-group.");
        }
        let secret = |path: &PathBuf| {
            let read = fs::read_to_string(path).map(Zeroizing::new);
            read.map_err(|source| Failure::File { path: path.clone(), source })
        };
        let secret = self.oidc_client_secret_file.as_ref().map(secret).transpose()?;
        Ok(oidc::Options {
            issuer: issuer.clone(),
            client_id: ClientId::new(client.to_owned()),
            client_secret: secret.map(|text| ClientSecret::new(text.trim().to_owned())),
            scopes: self.oidc_scope.clone(),
            groups_claim: self.oidc_groups_claim.clone(),
            auditor_groups: self.oidc_auditor_group.clone(),
            admin_groups: self.oidc_admin_group.clone(),
        })
    }

    /// Warns of what is open to others, and prints a link for the first admin.
    pub(super) async fn announce(&self, database: &Database, address: SocketAddr) -> Result<(), Failure> {
        let tls = self.tls_cert.is_some();
        let public = self.public_url.as_deref();
        if !tls && !address.ip().is_loopback() && !public.is_some_and(|url| url.starts_with("https://")) {
            tracing::warn!(
                "Records and tokens pass in the clear: give --tls-cert and --tls-key, or --public-url https://… behind a \
                proxy that speaks TLS."
            );
        }
        if self.admin_login || (self.oidc_issuer.is_none() && self.no_admin(database).await?) {
            let own = format!("{}://{address}", if tls { "https" } else { "http" });
            let link = link(database, public.unwrap_or(&own)).await?;
            // Nobody may be there to read it; and never to the log, which others read.
            let _ = output::lines(["Log in as an admin, once, within 15 minutes:", link.as_str()]);
        }
        Ok(())
    }

    async fn no_admin(&self, database: &Database) -> Result<bool, Failure> {
        let reader = Reader::open(database).await?;
        let any = reader.has_admin(now(), self.lifetime()).await?;
        reader.close().await;
        Ok(!any)
    }
}

/// A link that logs an admin in once.
pub(super) async fn link(database: &Database, public_url: &str) -> Result<Zeroizing<String>, Failure> {
    let secret = secret()?;
    let mut writer = Writer::open(database).await?;
    writer.add_link(&secret, now()).await?;
    writer.close().await;
    Ok(Zeroizing::new(format!("{public_url}/login/once?token={}", *secret)))
}

/// An origin: `https://records.example.com`, perhaps with a port.
pub(super) fn public_url(text: &str) -> Result<String, &'static str> {
    let why =
        "give a scheme and a host, and a port where it is not the usual one: https://records.example.com";
    let url = text.trim_end_matches('/');
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).ok_or(why)?;
    let good = !host.is_empty() && host.bytes().all(|c| c.is_ascii_alphanumeric() || b".-:[]".contains(&c));
    if good { Ok(url.to_ascii_lowercase()) } else { Err(why) }
}

/// Over plain HTTP, anybody on the way could say who somebody is.
fn issuer(text: &str) -> Result<IssuerUrl, String> {
    let url = IssuerUrl::new(text.to_owned()).map_err(|error| error.to_string())?;
    let parsed = url.url();
    let loopback = matches!(parsed.host_str(), Some("127.0.0.1" | "[::1]" | "localhost"));
    match parsed.scheme() {
        "https" => Ok(url),
        "http" if loopback => Ok(url),
        _ => Err("an issuer is asked over https, or on this machine".to_owned()),
    }
}
