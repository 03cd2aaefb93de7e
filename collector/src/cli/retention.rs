//! `prune` and `hold`: what is kept for how long.

use super::{DatabaseArguments, Failure, Format, output, progress, read};
use crate::evidence::tombstone::TombstoneKey;
use crate::present::counted;
use crate::server::now;
use crate::store::filter::span;
use crate::store::retention::Pruned;
use crate::store::{Bodies, Database, Reader, StoreError, Writer};
use chaperone_record::Timestamp;
use clap::Args;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

#[derive(Args)]
pub(super) struct PruneArguments {
    #[command(flatten)]
    source: DatabaseArguments,
    /// Prune what arrived longer ago than this, like 90d.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    older_than: Duration,
    /// The private key that tombstones are signed with, made by `chaperone keygen`; not a filter's.
    #[arg(long, value_name = "FILE", required_unless_present = "dry_run")]
    tombstone_key: Option<PathBuf>,
    /// Only tell how much it would be; where more than 2,000 batches of a chain would go, the first 2,000 are counted.
    #[arg(long)]
    dry_run: bool,
    /// How to print.
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

#[derive(Args)]
pub(super) struct HoldArguments {
    #[command(flatten)]
    source: DatabaseArguments,
    /// The session's id; without one, held sessions are listed.
    session: Option<String>,
    /// Hold it no longer.
    #[arg(long, requires = "session")]
    release: bool,
    /// How to print the list.
    #[arg(long, short, value_enum, default_value = "text")]
    output: Format,
}

pub(super) async fn prune(arguments: PruneArguments) -> Result<(), Failure> {
    let key = arguments.tombstone_key.as_deref().map(tombstone_key).transpose()?;
    let key = key.as_ref().filter(|_| !arguments.dry_run);
    // Refuses a database that is not there, or not up to date.
    read::open(&arguments.source).await?.close().await;
    let bodies = arguments.source.bodies.open()?;
    let bar = progress::going("Pruning");
    let pruned = prune_all(&arguments.source.database, bodies.as_ref(), arguments.older_than, key).await?;
    bar.finish_and_clear();
    if arguments.output != Format::Text {
        let Pruned { batches, exchanges, objects } = pruned;
        let told =
            json!({"pruned": key.is_some(), "batches": batches, "exchanges": exchanges, "objects": objects});
        output::value(arguments.output, &told)?;
        return Ok(());
    }
    let batches =
        if pruned.batches == 1 { "1 batch".to_owned() } else { format!("{} batches", pruned.batches) };
    let word = if key.is_some() { "Pruned" } else { "Would prune" };
    output::lines([format!("{word} {batches} with {}.", counted(pruned.exchanges, "exchange"))])?;
    Ok(())
}

/// Prunes every chain, and removes objects that nothing names since; without a key it only tells.
pub(super) async fn prune_all(
    database: &Database,
    bodies: Option<&Bodies>,
    older_than: Duration,
    key: Option<&TombstoneKey>,
) -> Result<Pruned, StoreError> {
    let reader = Reader::open(database).await?;
    let mut writer = Writer::open(database).await?;
    let age = u64::try_from(older_than.as_micros()).unwrap_or(u64::MAX);
    let before = Timestamp::from_micros(now().micros().saturating_sub(age));
    let mut all = Pruned::default();
    for recorder in reader.chains().await? {
        loop {
            let pruned = writer.prune(&recorder, before, key, now()).await?;
            all.batches += pruned.batches;
            all.exchanges += pruned.exchanges;
            if key.is_none() || pruned.batches == 0 {
                break;
            }
        }
    }
    if let (Some(bodies), Some(_)) = (bodies, key) {
        all.objects = writer.remove_objects(bodies, before, now()).await?;
    }
    reader.close().await;
    writer.close().await;
    Ok(all)
}

pub(super) async fn hold(arguments: HoldArguments) -> Result<(), Failure> {
    let reader = read::open(&arguments.source).await?;
    let Some(session) = arguments.session else {
        let held = reader.holds().await?;
        match arguments.output {
            format @ (Format::Json | Format::Yaml) => output::value(format, &held)?,
            Format::Text => {
                output::lines(held.iter().map(|session| crate::present::sanitize::line(session)))?
            }
        }
        return Ok(());
    };
    let known = arguments.release || reader.session(&session).await?.is_some();
    reader.close().await;
    if !known {
        return Err(Failure::Missing { what: "session", id: session });
    }
    let mut writer = Writer::open(&arguments.source.database).await?;
    let changed = writer.hold(&session, !arguments.release, now()).await?;
    writer.close().await;
    let shown = crate::present::sanitize::line(&session);
    output::lines([match (arguments.release, changed) {
        (false, true) => format!("Session {shown} is held."),
        (false, false) => format!("Session {shown} was held before."),
        (true, true) => format!("Session {shown} is held no longer."),
        (true, false) => format!("Session {shown} was not held."),
    }])?;
    Ok(())
}

/// Reads the key that tombstones are signed with.
pub(super) fn tombstone_key(path: &Path) -> Result<TombstoneKey, Failure> {
    let text = fs::read_to_string(path).map_err(|source| Failure::File { path: path.to_owned(), source })?;
    TombstoneKey::parse(&Zeroizing::new(text))
        .map_err(|source| Failure::Key { path: path.to_owned(), source })
}
