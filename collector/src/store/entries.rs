//! Entries read back from the batches that hold them.

use super::StoreError;
use super::read::Reader;
use sqlx::Row as _;
use sqlx::any::AnyRow;
use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::ops::Range;
use std::sync::Arc;

/// An entry's own bytes, and where they stand.
pub(super) struct Stored {
    pub(super) recorder: String,
    pub(super) batch: i64,
    pub(super) position: i64,
    pub(super) kid: Option<String>,
    /// Microseconds since 1970.
    pub(super) received: i64,
    pub(super) bytes: Vec<u8>,
}

impl Reader {
    /// The entries of an exchange, in the order of their chains.
    pub(super) async fn entries_of(&self, exchange: &str) -> Result<Vec<Stored>, StoreError> {
        let select = "SELECT recorder, batch, position, start, length FROM entries WHERE exchange = $1 \
            ORDER BY recorder, batch, position";
        let rows = sqlx::query(select).bind(exchange).fetch_all(&self.pool).await?;
        let (mut batches, mut entries) = (HashMap::new(), Vec::with_capacity(rows.len()));
        for row in &rows {
            let (recorder, batch): (String, i64) = (row.try_get("recorder")?, row.try_get("batch")?);
            let held = match batches.entry((recorder.clone(), batch)) {
                Slot::Occupied(slot) => slot.into_mut(),
                Slot::Vacant(slot) => slot.insert(self.body(&recorder, batch).await?),
            };
            // An entry whose batch is gone is told of by verification.
            let Some((body, kid, received)) = held else { continue };
            let bytes = stretch(row)?.and_then(|stretch| body.get(stretch)).unwrap_or_default().to_vec();
            let (position, kid, received) = (row.try_get("position")?, kid.clone(), *received);
            entries.push(Stored { recorder, batch, position, kid, received, bytes });
        }
        Ok(entries)
    }

    /// A batch's body as it came, the key it was checked with, and when it came.
    async fn body(
        &self,
        recorder: &str,
        batch: i64,
    ) -> Result<Option<(Arc<[u8]>, Option<String>, i64)>, StoreError> {
        let select =
            "SELECT body, location, digest, kid, received FROM batches WHERE recorder = $1 AND batch = $2";
        let row = sqlx::query(select).bind(recorder).bind(batch).fetch_optional(&self.pool).await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some((self.body_of(&row).await?, row.try_get("kid")?, row.try_get("received")?)))
    }
}

fn stretch(row: &AnyRow) -> Result<Option<Range<usize>>, StoreError> {
    let number = |column| Ok::<_, StoreError>(usize::try_from(row.try_get::<i64, _>(column)?).ok());
    let (start, length) = (number("start")?, number("length")?);
    Ok(start.zip(length).and_then(|(start, length)| Some(start..start.checked_add(length)?)))
}
