//! To whom `serve` sends what was recorded.

use super::Failure;
use crate::forward::{Destination, Kind, Url, headers, webhook};
use crate::store::filter::span;
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

#[derive(Args)]
pub(super) struct ForwardArguments {
    /// Send finished exchanges there as CloudEvents (a JSON batch), signed as Standard Webhooks has it.
    #[arg(long, value_name = "URL", value_parser = url, requires = "forward_webhook_key_file")]
    forward_webhook: Option<Url>,
    /// The keys to sign with: `whsec_` and base64, one a line.
    #[arg(long, value_name = "FILE", requires = "forward_webhook")]
    forward_webhook_key_file: Option<PathBuf>,
    /// Send finished exchanges there as OpenTelemetry logs (OTLP over HTTP, JSON); often …:4318/v1/logs.
    #[arg(long, value_name = "URL", value_parser = url)]
    forward_otlp: Option<Url>,
    /// Headers for it, like the token it asks for: `Name: value`, one a line.
    #[arg(long, value_name = "FILE", requires = "forward_otlp")]
    forward_otlp_headers_file: Option<PathBuf>,
    /// Tell of an exchange without its end once it has gone on so long.
    #[arg(long, value_name = "SPAN", value_parser = span, default_value = "5m")]
    forward_incomplete_after: Duration,
}

impl ForwardArguments {
    pub(super) fn destinations(self) -> Result<Vec<Destination>, Failure> {
        let incomplete_after = self.forward_incomplete_after;
        let mut destinations = Vec::new();
        if let (Some(url), Some(path)) = (self.forward_webhook, self.forward_webhook_key_file) {
            let keys = webhook::Keys::parse(&read(&path)?)
                .map_err(|error| Failure::Token(format!("{}: {error}", path.display())))?;
            destinations.push(Destination { url, kind: Kind::Webhook(keys), incomplete_after });
        }
        if let Some(url) = self.forward_otlp {
            let headers = match &self.forward_otlp_headers_file {
                Some(path) => headers(&read(path)?)
                    .map_err(|error| Failure::Token(format!("{}: {error}", path.display())))?,
                None => Vec::new(),
            };
            destinations.push(Destination { url, kind: Kind::Otlp(headers), incomplete_after });
        }
        Ok(destinations)
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let text = fs::read_to_string(path).map_err(|source| Failure::File { path: path.to_owned(), source })?;
    Ok(Zeroizing::new(text))
}

fn url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("{error}"))?;
    match url.scheme() {
        "http" | "https" if url.username().is_empty() && url.password().is_none() => Ok(url),
        "http" | "https" => Err("a URL with a password would be seen by everybody on the machine".to_owned()),
        _ => Err("it must begin with http:// or https://".to_owned()),
    }
}
