//! The one task that writes: it gathers what waits into one transaction, so that many batches share one sync.

use super::StoreError;
use super::Writer;
use super::access::Access;
use super::batch::ReceivedBatch;
use super::bodies::Bodies;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Most batches in one transaction.
const GROUP: usize = 128;

/// The reason where a batch's bytes cannot be kept beside the database.
pub(crate) const BODIES: &str = "bodies";

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is durable now. `foreign` entries name an exchange of another recorder and were not merged into it.
    New {
        /// How many such entries.
        foreign: u64,
    },
    /// The same bytes were durable before.
    Known,
    /// Other bytes stand under its number. `new` where these other bytes had not come before.
    Fork {
        /// True the first time.
        new: bool,
    },
}

/// Why a batch was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// Too many batches wait already.
    #[error("too many batches are waiting to be written")]
    Full,
    /// The server is going down.
    #[error("the collector is stopping")]
    Stopping,
    /// The database did not take it; see [`StoreError::reason`].
    #[error("it could not be written: {0}")]
    Failed(&'static str),
}

enum Job {
    Store(Box<ReceivedBatch>, oneshot::Sender<Result<Stored, SubmitError>>),
    Log(Access, oneshot::Sender<Result<(), SubmitError>>),
    Probe(oneshot::Sender<Result<(), &'static str>>),
}

/// Hands batches to the writing task. When the last clone is dropped, the task finishes what waits and ends.
#[derive(Clone)]
pub struct WriteQueue {
    jobs: mpsc::Sender<Job>,
    /// Where batches' bytes go before they are written; none where the database takes them.
    bodies: Option<Bodies>,
}

impl WriteQueue {
    /// Starts the task, which gives the writer back when it ends. At most `waiting` batches wait at a time.
    pub fn start(writer: Writer, bodies: Option<Bodies>, waiting: usize) -> (Self, JoinHandle<Writer>) {
        let (jobs, incoming) = mpsc::channel(waiting.max(1));
        (Self { jobs, bodies }, tokio::spawn(run(writer, incoming)))
    }

    /// Returns once the batch is durable, or is known not to be.
    pub async fn store(&self, mut batch: ReceivedBatch) -> Result<Stored, SubmitError> {
        if let Some(bodies) = &self.bodies {
            if self.jobs.capacity() == 0 {
                return Err(SubmitError::Full);
            }
            batch.location = Some(bodies.put(&batch).await.map_err(|error| {
                tracing::error!(%error, "Could not keep a batch's bytes.");
                SubmitError::Failed(BODIES)
            })?);
        }
        batch.prepare();
        let (reply, answer) = oneshot::channel();
        self.jobs.try_send(Job::Store(Box::new(batch), reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SubmitError::Full,
            mpsc::error::TrySendError::Closed(_) => SubmitError::Stopping,
        })?;
        answer.await.unwrap_or(Err(SubmitError::Stopping))
    }

    /// Returns once the access log has this.
    pub async fn log(&self, access: Access) -> Result<(), SubmitError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Log(access, reply)).await.map_err(|_| SubmitError::Stopping)?;
        answer.await.unwrap_or(Err(SubmitError::Stopping))
    }

    /// Whether batches can be kept and the database be written right now; else why not. After a batch that could not be, it must take as
    /// much as that batch again.
    pub async fn probe(&self) -> Result<(), &'static str> {
        if let Some(bodies) = &self.bodies {
            bodies.probe().await.map_err(|error| {
                tracing::warn!(%error, "Batches' bytes cannot be kept.");
                BODIES
            })?;
        }
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Probe(reply)).await.map_err(|_| "stopping")?;
        answer.await.unwrap_or(Err("stopping"))
    }

    /// How many batches wait.
    pub fn depth(&self) -> usize {
        self.jobs.max_capacity() - self.jobs.capacity()
    }
}

async fn run(mut writer: Writer, mut incoming: mpsc::Receiver<Job>) -> Writer {
    let mut jobs = Vec::with_capacity(GROUP);
    // The largest batch that the database did not take, until it takes as much again.
    let mut failed = 0;
    while incoming.recv_many(&mut jobs, GROUP).await > 0 {
        let (mut batches, mut replies, mut probes) = (Vec::new(), Vec::new(), Vec::new());
        let (mut accesses, mut readers) = (Vec::new(), Vec::new());
        for job in jobs.drain(..) {
            match job {
                Job::Store(batch, reply) => {
                    batches.push(*batch);
                    replies.push(reply);
                }
                Job::Log(access, reply) => {
                    accesses.push(access);
                    readers.push(reply);
                }
                Job::Probe(reply) => probes.push(reply),
            }
        }
        let results = store(&mut writer, &batches).await;
        // Who has gone in the meantime (a send that fails) will post again and be told that the batch is known.
        for ((reply, stored), batch) in replies.into_iter().zip(results).zip(&batches) {
            match &stored {
                Ok(_) if batch.body.len() >= failed => failed = 0,
                Ok(_) => {}
                Err(_) => failed = failed.max(batch.body.len()),
            }
            let _ = reply.send(stored.map_err(|error| SubmitError::Failed(error.reason())));
        }
        if !accesses.is_empty() {
            let logged = writer.log_accesses(&accesses).await.map_err(|error| error.reason());
            for reader in readers {
                let _ = reader.send(logged.map_err(SubmitError::Failed));
            }
        }
        if !probes.is_empty() {
            // A batch takes more room than its bytes: its entries are in the index too.
            let taken = writer.probe(failed.saturating_mul(2)).await.map_err(|error| error.reason());
            if taken.is_ok() {
                failed = 0;
            }
            for probe in probes {
                let _ = probe.send(taken);
            }
        }
    }
    writer
}

/// Writes a group in one transaction; where that fails, each batch in its own, so that one cannot fail the others.
async fn store(writer: &mut Writer, batches: &[ReceivedBatch]) -> Vec<Result<Stored, StoreError>> {
    if batches.is_empty() {
        return Vec::new();
    }
    match writer.store(batches).await {
        Ok(stored) => return stored.into_iter().map(Ok).collect(),
        Err(error) if batches.len() == 1 => {
            tracing::error!(%error, "Could not write a batch.");
            return vec![Err(error)];
        }
        Err(error) => {
            tracing::warn!(%error, batches = batches.len(), "Could not write a group of batches; trying each.")
        }
    }
    let mut results = Vec::with_capacity(batches.len());
    for batch in batches {
        let stored = writer.store(std::slice::from_ref(batch)).await;
        if let Err(error) = &stored {
            tracing::error!(%error, "Could not write a batch.");
        }
        results.push(stored.and_then(|one| one.into_iter().next().ok_or(StoreError::Damaged("no result"))));
    }
    results
}
