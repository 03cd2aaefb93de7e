//! The audit: what the API server says it executed, against what the collector's database can prove.

use crate::proxy;
use crate::records::Records;
use crate::work::{Attempt, Ending};
use anyhow::{Result, ensure};
use chaperone_test_harness::process::eventually;
use chaperone_test_harness::proxy::BatchId;
use chaperone_test_harness::stage::Stage;
use chaperone_test_harness::standin::Logged;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::time::Duration;

/// How long records may take to arrive once nothing fails any more.
const SETTLING: Duration = Duration::from_secs(60);

/// An audit of what happens on a stage from now on.
pub struct Audit {
    name: &'static str,
    /// Requests that the API server had got before.
    before: usize,
    /// Recorders that were killed: their chains may end anywhere, and what they had not posted is lost.
    dead: BTreeSet<String>,
    faults: BTreeMap<String, u64>,
}

/// What came out.
#[derive(Default)]
pub struct Tally {
    name: &'static str,
    faults: BTreeMap<String, u64>,
    attempts: usize,
    writes: usize,
    refused: usize,
    unclear: usize,
    executed: usize,
    recorded: usize,
    acknowledged: usize,
    holes: usize,
    incomplete: usize,
    gaps: usize,
    unrecorded_answers: usize,
    unrecorded_refusals: usize,
    wrong: Vec<String>,
    executed_though_refused: usize,
    lost: Vec<BatchId>,
}

impl Audit {
    /// Begins.
    pub fn begin(name: &'static str, stage: &Stage) -> Result<Self> {
        let before = stage.standin()?.log().len();
        Ok(Self { name, before, dead: BTreeSet::new(), faults: BTreeMap::new() })
    }

    /// Counts a fault.
    pub fn fault(&mut self, what: impl Into<String>) {
        self.faults(what, 1);
    }

    /// Counts faults.
    pub fn faults(&mut self, what: impl Into<String>, times: u64) {
        *self.faults.entry(what.into()).or_default() += times;
    }

    /// Every recorder so far is dead.
    pub fn bury(&mut self, stage: &Stage) {
        self.dead.extend(proxy(stage).recorders());
    }

    /// What must hold at every moment, whatever is down: what arrived at the API server is in the database.
    pub async fn now(&self, stage: &Stage) -> Result<()> {
        let (log, acknowledged) = (self.log(stage)?, proxy(stage).acknowledged());
        let tally = self.held_against(&log, &acknowledged, &Records::of(stage).await?);
        tally.right()
    }

    /// The whole audit, once nothing fails any more and every agent has stopped.
    pub async fn end(self, stage: &Stage, attempts: &[Attempt]) -> Result<Tally> {
        let mut last = None;
        let settled = async || {
            let alive = |(recorder, _): &BatchId| !self.dead.contains(recorder);
            if proxy(stage).unacknowledged().iter().any(alive) {
                return None;
            }
            last = Some(self.settled(stage, attempts).await);
            let tally = last.as_ref()?.as_ref().ok()?;
            (tally.missing_answers() == 0).then_some(())
        };
        let outcome = eventually("whole records", SETTLING, settled).await;
        let tally = match (outcome, last) {
            (_, Some(tally)) => tally?,
            (Err(error), None) => {
                return Err(error.context(format!("{}: batches stay unacknowledged", self.name)));
            }
            (Ok(()), None) => unreachable!("it settled"),
        };
        println!("{tally}");
        tally.right()?;
        ensure!(tally.missing_answers() == 0, "answers without a record: {}", tally.unrecorded_answers);
        Ok(tally)
    }

    fn log(&self, stage: &Stage) -> Result<Vec<Logged>> {
        Ok(stage.standin()?.log().split_off(self.before))
    }

    async fn settled(&self, stage: &Stage, attempts: &[Attempt]) -> Result<Tally> {
        // In this order: what is acknowledged or arrives meanwhile is not looked for.
        let (log, acknowledged) = (self.log(stage)?, proxy(stage).acknowledged());
        let records = Records::of(stage).await?;
        let mut tally = self.held_against(&log, &acknowledged, &records);
        tally.attempts = attempts.len();
        tally.writes = attempts.iter().filter(|attempt| attempt.write).count();
        let ended = |ending| attempts.iter().filter(move |attempt| attempt.ending == ending);
        tally.refused = ended(Ending::Refused).count();
        tally.unclear = ended(Ending::Unclear).count() + ended(Ending::Broken).count();
        let executed: HashMap<_, _> = log.iter().map(|logged| (&logged.audit_id, logged.status)).collect();
        for id in ended(Ending::Refused).filter_map(|attempt| attempt.exchange.as_ref()) {
            // Its head may have arrived, and the body was held back.
            if executed.get(id).is_some_and(|status| status.is_some()) {
                tally.executed_though_refused += 1;
            }
        }
        let is_recorded = |id: &String| records.exchanges.get(id).is_some_and(|recorded| recorded.ended);
        let unrecorded = |attempt: &&Attempt| attempt.exchange.as_ref().is_some_and(|id| !is_recorded(id));
        // What a killed recorder had not posted yet is lost; of a write that is the answer only.
        if self.dead.is_empty() {
            tally.unrecorded_answers = attempts.iter().filter(unrecorded).count();
            tally.unrecorded_refusals = ended(Ending::Refused).filter(unrecorded).count();
        }
        let report = stage.collector.report().await?;
        tally.gaps = records.dropped;
        tally.incomplete = report["incomplete"].as_array().map_or(0, Vec::len);
        for problem in report["problems"].as_array().into_iter().flatten() {
            let of_the_dead =
                problem["recorder"].as_str().is_some_and(|recorder| self.dead.contains(recorder));
            if problem["code"] == "missing" && of_the_dead {
                tally.holes += 1;
            } else {
                tally.wrong.push(format!("verify: {problem}"));
            }
        }
        if report["signaturesChecked"] != Value::Bool(true) || report["signed"] != report["batches"] {
            tally.wrong.push(format!("not every signature was checked: {}", report["signed"]));
        }
        if self.dead.is_empty() && tally.incomplete > tally.gaps {
            tally.wrong.push(format!("{} exchanges are incomplete though nobody died", tally.incomplete));
        }
        Ok(tally)
    }

    /// Every request that must be recorded ahead, and every acknowledged batch.
    fn held_against(
        &self,
        log: &[Logged],
        acknowledged: &BTreeMap<BatchId, Vec<u8>>,
        records: &Records,
    ) -> Tally {
        let mut tally = Tally { name: self.name, faults: self.faults.clone(), ..Tally::default() };
        for logged in log.iter().filter(|logged| logged.method != "GET" || logged.uri.contains("/secrets")) {
            let executed = logged.status.is_some_and(|status| status < 300) && logged.method != "GET";
            tally.executed += usize::from(executed);
            match records.tell(logged) {
                Ok(()) => tally.recorded += usize::from(executed),
                Err(why) => tally.wrong.push(format!("{} {logged:?}: {why}", logged.audit_id)),
            }
        }
        tally.acknowledged = acknowledged.len();
        let lost = acknowledged.iter().filter(|(id, digest)| records.batches.get(*id) != Some(digest));
        tally.lost = lost.map(|(id, _)| id.clone()).collect();
        tally
    }
}

impl Tally {
    /// Adds what came out of another audit of the same name.
    pub fn add(&mut self, other: Self) {
        self.name = other.name;
        for (what, times) in other.faults {
            *self.faults.entry(what).or_default() += times;
        }
        for (sum, more) in [
            (&mut self.attempts, other.attempts),
            (&mut self.writes, other.writes),
            (&mut self.refused, other.refused),
            (&mut self.unclear, other.unclear),
            (&mut self.executed, other.executed),
            (&mut self.recorded, other.recorded),
            (&mut self.acknowledged, other.acknowledged),
            (&mut self.holes, other.holes),
            (&mut self.incomplete, other.incomplete),
            (&mut self.gaps, other.gaps),
            (&mut self.unrecorded_answers, other.unrecorded_answers),
            (&mut self.unrecorded_refusals, other.unrecorded_refusals),
            (&mut self.executed_though_refused, other.executed_though_refused),
        ] {
            *sum += more;
        }
        self.wrong.extend(other.wrong);
        self.lost.extend(other.lost);
    }

    /// Answers whose record is not there, beyond what the recorders admit to.
    fn missing_answers(&self) -> usize {
        self.unrecorded_answers.saturating_sub(self.gaps)
    }

    fn right(&self) -> Result<()> {
        let first = self.wrong.iter().take(5).map(String::as_str).collect::<Vec<_>>().join("\n  ");
        ensure!(self.wrong.is_empty(), "{}: {} things are wrong:\n  {first}", self.name, self.wrong.len());
        ensure!(self.lost.is_empty(), "{}: acknowledged, and not there: {:?}", self.name, self.lost);
        ensure!(self.executed_though_refused == 0, "{}: executed though refused", self.name);
        Ok(())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let faults: Vec<_> = self.faults.iter().map(|(what, times)| format!("{what} ×{times}")).collect();
        writeln!(f, "{}: {}", self.name, faults.join(", "))?;
        writeln!(
            f,
            "  attempts {}, of them writes {}; refused {}, no or unclear answer {}, answers lost to a gap {}, of them refusals {}",
            self.attempts,
            self.writes,
            self.refused,
            self.unclear,
            self.unrecorded_answers,
            self.unrecorded_refusals
        )?;
        writeln!(
            f,
            "  executed writes {}, recorded {}, executed without record {}, executed though refused {}",
            self.executed,
            self.recorded,
            self.executed - self.recorded,
            self.executed_though_refused
        )?;
        write!(
            f,
            "  batches acknowledged {}, acknowledged but lost {}; incomplete exchanges {}, gap entries {}, holes in dead chains {}",
            self.acknowledged,
            self.lost.len(),
            self.incomplete,
            self.gaps,
            self.holes
        )
    }
}
