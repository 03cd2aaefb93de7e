//! `unseal`: the originals of what was masked, for who holds the auditor's key.

use super::source::SourceArguments;
use super::{Failure, Format, output};
use crate::evidence::sealing::{Original, UnsealingKey};
use crate::present::sanitize::{line, lines};
use clap::Args;
use std::fs;
use std::path::PathBuf;
use zeroize::Zeroizing;

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    source: SourceArguments,
    /// The private key whose public half is `masking.sealTo` in the filter's configuration.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The exchange's id.
    #[arg(value_name = "EXCHANGE")]
    exchange: String,
    /// How to print.
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { source, key: path, exchange, output: format } = arguments;
    let text = fs::read_to_string(&path).map_err(|source| Failure::File { path: path.clone(), source })?;
    let key = UnsealingKey::parse(&Zeroizing::new(text))
        .map_err(|source| Failure::Sealing { what: path.display().to_string(), source })?;
    let found = source.open().await?.exchange(&exchange).await?;
    let detail = found.ok_or_else(|| Failure::Missing { what: "exchange", id: exchange.clone() })?;
    let sealed: Vec<&str> =
        detail.entries.iter().filter_map(|entry| entry.entry["sealed"].as_str()).collect();
    if sealed.is_empty() {
        return Err(Failure::Missing { what: "sealed originals, in exchange", id: exchange });
    }
    for text in sealed {
        let originals = key
            .open(text, &exchange)
            .map_err(|source| Failure::Sealing { what: exchange.clone(), source })?;
        match format {
            Format::Json | Format::Yaml => output::value(format, &originals)?,
            Format::Text => {
                output::lines(originals.values.iter().flat_map(shown))?;
                if originals.omitted > 0 {
                    output::lines([format!("({} more were not kept)", originals.omitted)])?;
                }
            }
        }
    }
    Ok(())
}

/// The path, and below it the value, whole: that is what the key is for.
fn shown(original: &Original) -> Vec<String> {
    let value = match (&original.value, &original.base64) {
        (Some(text), _) => text.clone(),
        (None, Some(bytes)) => format!("base64:{bytes}"),
        (None, None) => String::new(),
    };
    let mut shown = vec![line(&original.path).into_owned()];
    shown.extend(lines(&value).map(|line| format!("    {line}")));
    shown
}
