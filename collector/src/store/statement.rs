//! SQL put together from fixed text and bound values: a value can never become text. Every text is what all databases
//! speak; placeholders are `$1`, `$2`, ….

use super::schema::Dialect;
use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, Arguments as _, AssertSqlSafe, Encode, Type};
use std::fmt::Write as _;

/// How many rows go into one statement: few sizes, so that databases read few texts and remember them. SQLite takes
/// 32,766 values.
const SIZES: [usize; 4] = [256, 32, 4, 1];

/// Rows as statements take them.
pub(super) fn chunks<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= rows.len())?;
        let (chunk, rest) = rows.split_at(size);
        rows = rest;
        Some(chunk)
    })
}

/// A statement that grows.
pub(super) struct Statement {
    text: String,
    values: AnyArguments,
    count: usize,
    /// Placeholders have numbers.
    numbered: bool,
}

impl Statement {
    /// Begins with a text.
    pub(super) fn new(text: &'static str) -> Self {
        Self { text: text.to_owned(), values: AnyArguments::default(), count: 0, numbered: true }
    }

    /// The same, of thousands of values: SQLite would look for the name of each among those of all others.
    pub(super) fn of_many(dialect: Dialect, text: &'static str) -> Self {
        Self { numbered: dialect == Dialect::Postgres, ..Self::new(text) }
    }

    /// Goes on with a text.
    pub(super) fn text(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Goes on with a value.
    pub(super) fn value<'v, T: Encode<'v, Any> + Type<Any>>(&mut self, value: T) -> &mut Self {
        self.count += 1;
        if self.numbered {
            let _ = write!(self.text, "${}", self.count);
        } else {
            self.text.push('?');
        }
        // Numbers, text and bytes always go in; a value that did not would be missing, and the statement fail.
        let _ = self.values.add(value);
        self
    }

    /// Goes on with what `each` adds for each item, separated by commas.
    pub(super) fn each<I>(
        &mut self,
        items: impl IntoIterator<Item = I>,
        mut each: impl FnMut(&mut Self, I),
    ) -> &mut Self {
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.text.push_str(", ");
            }
            each(self, item);
        }
        self
    }

    /// The whole of it, to be run.
    pub(super) fn query(self) -> Query<'static, Any, AnyArguments> {
        // The text was put together from this program's own texts and placeholders alone.
        sqlx::query_with(AssertSqlSafe(self.text), self.values)
    }
}
