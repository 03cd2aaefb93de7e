//! Verification of a database: its batches, and whether its index still says what they say.

use super::audit::{Audit, Exhibit};
use super::checkpoint::Checkpoint;
use super::keys::KeySet;
use super::report::{Code, Finding, Report};
use super::scope::Scope;
use crate::store::Reader;
use crate::store::StoreError;
use crate::store::merge::Totals;
use crate::store::model::{ExchangeSummary, RecorderState, SessionSummary};
use chaperone_record::{Attributed, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// Checks every chain, or the stretches that a scope takes up. `now` tells which recorders fell silent.
pub async fn verify(
    reader: &Reader,
    keys: &KeySet,
    tombstone_keys: &KeySet,
    checkpoint: Option<&Checkpoint>,
    scope: &Scope,
    now: Timestamp,
) -> Result<Report, StoreError> {
    let mut audit = Audit::new(keys, scope, checkpoint);
    for stretch in reader.stretches(scope).await? {
        audit.begin(&stretch);
        if let Some(signed) = reader.tombstone(&stretch.recorder).await? {
            audit.explain(&stretch.recorder, &signed, tombstone_keys);
        }
        let mut after = if scope.is_everything() { -1 } else { stretch.first - 1 };
        while let Some(exhibit) = reader.batch_after(&stretch.recorder, after).await? {
            if !scope.is_everything() && exhibit.batch > stretch.last {
                break;
            }
            after = exhibit.batch;
            audit.batch(&exhibit);
            if exhibit.lost.is_none()
                && let Some(wrong) = reader.misindexed(&exhibit).await?
            {
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

/// Each exchange again from its entries, and each session from its exchanges: what is shown of the records must be what
/// the batches say.
async fn check_index(reader: &Reader, scope: &Scope, audit: &mut Audit<'_>) -> Result<(), StoreError> {
    let mut sessions = BTreeMap::new();
    if let Scope::Session { exchanges, .. } = scope {
        for exchange in exchanges {
            check_exchange(reader, exchange, &mut sessions, audit).await?;
        }
    } else {
        if let Some(exchange) = reader.unindexed().await? {
            audit.problem(None, None, Code::Index, format!("the index does not know exchange {exchange}"));
        }
        if let Some(session) = reader.unfounded().await? {
            let message = format!("the index tells of session {session}, but no exchange does");
            audit.problem(None, None, Code::Index, message);
        }
        let mut page = reader.exchanges_after("").await?;
        while let Some(last) = page.last().cloned() {
            for exchange in &page {
                check_exchange(reader, exchange, &mut sessions, audit).await?;
            }
            page = reader.exchanges_after(&last).await?;
        }
    }
    for (session, told) in sessions {
        let indexed = reader.session(&session).await;
        if !indexed.is_ok_and(|indexed| indexed.is_some_and(|indexed| told.is(&indexed))) {
            let message = format!("the index tells session {session} otherwise than its exchanges do");
            audit.problem(None, None, Code::Index, message);
        }
    }
    Ok(())
}

async fn check_exchange(
    reader: &Reader,
    exchange: &str,
    sessions: &mut BTreeMap<String, Told>,
    audit: &mut Audit<'_>,
) -> Result<(), StoreError> {
    let told = match reader.retold(exchange).await {
        // Which batch it is, is told already. Of its session nothing more can be said.
        Err(StoreError::Body(error)) if error.is_loss() => {
            let session = reader.session_of_exchange(exchange).await?;
            session.into_iter().for_each(|session| sessions.entry(session).or_default().lossy = true);
            return Ok(());
        }
        told => told?,
    };
    let Some(told) = told else {
        let message = format!("the index tells of exchange {exchange}, but no batch does");
        audit.problem(None, None, Code::Index, message);
        return Ok(());
    };
    if !reader.is_indexed_as(&told).await? {
        let message = format!("the index tells exchange {exchange} otherwise than its entries do");
        audit.problem(Some(&told.recorder), None, Code::Index, message);
    }
    if let Some(session) = told.session.as_ref().filter(|_| told.is_placed()) {
        sessions.entry(session.clone()).or_default().add(&told);
    }
    Ok(())
}

/// What the exchanges of a session come to.
#[derive(Default)]
struct Told {
    /// Bytes of an exchange are lost.
    lossy: bool,
    totals: Totals,
    values: BTreeSet<(&'static str, String)>,
}

impl Told {
    fn add(&mut self, exchange: &ExchangeSummary) {
        self.totals = self.totals.plus(exchange.totals());
        self.values.extend(exchange.session_values().into_iter().map(|(kind, _, value)| (kind, value)));
    }

    fn is(&self, indexed: &SessionSummary) -> bool {
        if self.lossy {
            return true;
        }
        let count = |kind| self.values.iter().filter(|(of, _)| *of == kind).count();
        let told = |kind: &'static str, value: Option<String>| {
            value.is_some_and(|value| self.values.contains(&(kind, value)))
        };
        let attributed = |kind, values: &[Attributed]| {
            values.len() == count(kind)
                && values.iter().all(|value| told(kind, serde_json::to_string(value).ok()))
        };
        self.totals == indexed.totals()
            && indexed.users.len() == count("user")
            && indexed.users.iter().all(|user| told("user", serde_json::to_string(user).ok()))
            && attributed("agent", &indexed.agents)
            && attributed("model", &indexed.models)
            && attributed("prompt", &indexed.prompts)
    }
}

impl Finding {
    fn is_of(&self, recorder: &str) -> bool {
        self.recorder.as_deref() == Some(recorder)
    }
}
