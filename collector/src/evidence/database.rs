//! Verification of a database: its batches, and whether its index still says what they say.

use super::audit::{Audit, Exhibit};
use super::checkpoint::Checkpoint;
use super::keys::KeySet;
use super::report::{Code, Finding, Report};
use super::scope::Scope;
use crate::store::StoreError;
use crate::store::model::{ExchangeSummary, RecorderState};
use crate::store::sqlite::Reader;
use chaperone_record::Timestamp;

/// Checks every chain, or the stretches that a scope takes up. `now` tells which recorders fell silent.
pub async fn verify(
    reader: &Reader,
    keys: &KeySet,
    checkpoint: Option<&Checkpoint>,
    scope: &Scope,
    now: Timestamp,
) -> Result<Report, StoreError> {
    let mut audit = Audit::new(keys, scope, checkpoint);
    for stretch in reader.stretches(scope).await? {
        audit.begin(&stretch);
        let mut after = if scope.is_everything() { -1 } else { stretch.first - 1 };
        while let Some(exhibit) = reader.batch_after(&stretch.recorder, after).await? {
            if !scope.is_everything() && exhibit.batch > stretch.last {
                break;
            }
            after = exhibit.batch;
            audit.batch(&exhibit);
            if let Some(wrong) = reader.misindexed(&exhibit).await? {
                audit.problem(Some(&exhibit.recorder), Some(exhibit.batch), Code::Index, wrong);
            }
        }
        for fork in forks(reader, &stretch.recorder, scope, (stretch.first, stretch.last)).await? {
            audit.fork(&fork);
        }
    }
    check_index(reader, scope, &mut audit).await?;
    let mut report = audit.finish();
    for recorder in reader.recorders(now).await? {
        let known =
            scope.is_everything() || report.incomplete.iter().any(|one| one.is_of(&recorder.recorder));
        if let (RecorderState::Silent, 1.., true) = (recorder.state, recorder.incomplete, known) {
            let since = Timestamp::from_micros(u64::try_from(recorder.last_received).unwrap_or(0));
            let message = format!(
                "nothing came since {since}, and {} of its exchanges are incomplete: it may have been cut off",
                recorder.incomplete
            );
            let place = (Some(recorder.recorder.as_str()), Some(recorder.last_batch));
            report.silent.push(Finding::new(place, Code::Silent, message));
        }
    }
    Ok(report)
}

/// The forks of a chain that a scope takes up.
pub(super) async fn forks(
    reader: &Reader,
    recorder: &str,
    scope: &Scope,
    (first, last): (i64, i64),
) -> Result<Vec<Exhibit>, StoreError> {
    let mut forks = reader.forks(recorder).await?;
    forks.retain(|fork| scope.is_everything() || (first..=last).contains(&fork.batch));
    Ok(forks)
}

/// Each exchange again from its entries: what sessions and replays show must be what the batches say.
async fn check_index(reader: &Reader, scope: &Scope, audit: &mut Audit<'_>) -> Result<(), StoreError> {
    if let Some(exchange) = reader.unindexed().await? {
        audit.problem(None, None, Code::Index, format!("the index does not know exchange {exchange}"));
    }
    if let Scope::Session { exchanges, .. } = scope {
        for exchange in exchanges {
            let Some(stored) = reader.indexed(exchange).await? else { continue };
            check_exchange(reader, &stored, audit).await?;
        }
        return Ok(());
    }
    let mut after = String::new();
    loop {
        let page = reader.exchanges_after(&after).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after.clone_from(&last.exchange);
        for stored in &page {
            check_exchange(reader, stored, audit).await?;
        }
    }
}

async fn check_exchange(
    reader: &Reader,
    stored: &ExchangeSummary,
    audit: &mut Audit<'_>,
) -> Result<(), StoreError> {
    if let Some(wrong) = reader.misrepresented(stored).await? {
        audit.problem(Some(&stored.recorder), None, Code::Index, wrong);
    }
    Ok(())
}

impl Finding {
    fn is_of(&self, recorder: &str) -> bool {
        self.recorder.as_deref() == Some(recorder)
    }
}
