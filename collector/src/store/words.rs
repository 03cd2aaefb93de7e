//! The words of records: what is searched. They are runs of letters and digits in lower case, made here and not by the
//! database, so that both find the same, and nothing of a record or a question can be taken for syntax.

use super::schema::Dialect;
use super::statement::Statement;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;
use unicode_general_category::{GeneralCategory as Category, get_general_category};

/// Longest word, in characters; of longer ones the beginning counts.
const MAX_WORD: usize = 64;

/// Most bytes of text of one entry whose words are kept: PostgreSQL holds no more than 1 MiB of words in one value.
const MAX_TEXT: usize = 256 * 1024;

/// Members that hold no words.
const SKIPPED: [&str; 5] = ["sealed", "sha256", "timing", "type", "exchange"];

/// A word that is looked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SearchWord {
    word: String,
    /// Any ending will do.
    open: bool,
}

/// The words of an entry, each once, separated by spaces.
pub(super) fn words_of(entry: &[u8]) -> String {
    let Ok(entry) = serde_json::from_slice::<Value>(entry) else { return String::new() };
    let (mut words, mut room) = (BTreeSet::new(), MAX_TEXT);
    gather(&entry, false, &mut words, &mut room);
    words.into_iter().collect::<Vec<_>>().join(" ")
}

/// Takes up texts and numbers, and below a body the names of its members too.
fn gather(value: &Value, names: bool, words: &mut BTreeSet<String>, room: &mut usize) {
    match value {
        Value::String(text) => take(text, words, room),
        Value::Number(number) => take(&number.to_string(), words, room),
        Value::Array(items) => items.iter().for_each(|item| gather(item, names, words, room)),
        // A body that is no JSON: text, or bytes in base64, which hold no words.
        Value::Object(members)
            if members.len() == 2 && ["encoding", "data"].iter().all(|m| members.contains_key(*m)) =>
        {
            if value["encoding"] != "base64" {
                gather(&value["data"], names, words, room);
            }
        }
        Value::Object(members) => {
            let bytes = members.get("encoding").is_some_and(|encoding| encoding == "base64");
            for (name, value) in members {
                if SKIPPED.contains(&name.as_str()) && !names || name == "data" && bytes {
                    continue;
                }
                if names {
                    take(name, words, room);
                }
                gather(value, names || name == "requestObject" || name == "responseObject", words, room);
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

fn take(text: &str, words: &mut BTreeSet<String>, room: &mut usize) {
    let end = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| end <= room).last();
    let text = text.get(..end.unwrap_or(0)).unwrap_or("");
    *room = room.saturating_sub(text.len());
    words.extend(split(text).map(word));
}

fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c| !is_word(c)).filter(|word| !word.is_empty())
}

fn word(text: &str) -> String {
    text.to_lowercase().chars().filter(|c| is_word(*c)).take(MAX_WORD).collect()
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || !c.is_ascii()
            && matches!(
                get_general_category(c),
                Category::UppercaseLetter
                    | Category::LowercaseLetter
                    | Category::TitlecaseLetter
                    | Category::ModifierLetter
                    | Category::OtherLetter
                    | Category::DecimalNumber
                    | Category::LetterNumber
                    | Category::OtherNumber
            )
}

/// The words of a question.
pub(super) fn search_words(question: &str) -> Vec<SearchWord> {
    let mut words = Vec::new();
    for part in question.split_whitespace() {
        let open = part.ends_with('*');
        let found: Vec<&str> = split(part).collect();
        for (index, text) in found.iter().enumerate() {
            let search = SearchWord { word: word(text), open: open && index + 1 == found.len() };
            if !search.word.is_empty() && !words.contains(&search) {
                words.push(search);
            }
        }
    }
    words
}

/// Adds that entries of `exchanges x` have all of the words.
pub(super) fn conditions(words: &[SearchWord], dialect: Dialect, statement: &mut Statement) {
    let [first, rest @ ..] = words else { return };
    statement.text(" AND x.exchange IN (SELECT e.exchange FROM entries e WHERE ");
    having(words, dialect, statement);
    if !rest.is_empty() {
        statement.text(match dialect {
            Dialect::Sqlite => " UNION ALL SELECT e.exchange FROM entries e INDEXED BY entries_in_parts",
            Dialect::Postgres => " UNION ALL SELECT e.exchange FROM entries e",
        });
        // What has the first is gathered, so it should be the rarest.
        statement.text(" WHERE e.type <> 'exchange' AND e.exchange IS NOT NULL AND ");
        having(std::slice::from_ref(first), dialect, statement);
    }
    for word in rest {
        statement.text(" AND EXISTS (SELECT 1 FROM entries o WHERE o.exchange = e.exchange AND ");
        match dialect {
            Dialect::Sqlite => statement
                .text("EXISTS (SELECT 1 FROM text_words WHERE text_words MATCH ")
                .value(word.fts5())
                .text(" AND text_words.rowid = o.id)"),
            // `IS TRUE` keeps it from the index of words.
            Dialect::Postgres => {
                statement.text("(o.words @@ CAST(").value(word.tsquery()).text(" AS tsquery)) IS TRUE")
            }
        };
        statement.text(")");
    }
    statement.text(")");
}

/// Adds that `entries e` has all of the words. In quotes, a word of letters and digits is nothing but itself.
pub(super) fn having(words: &[SearchWord], dialect: Dialect, statement: &mut Statement) {
    let all = |text: fn(&SearchWord) -> String, and| words.iter().map(text).collect::<Vec<_>>().join(and);
    match dialect {
        Dialect::Sqlite => statement
            .text("e.id IN (SELECT rowid FROM text_words WHERE text_words MATCH ")
            .value(all(SearchWord::fts5, " AND "))
            .text(")"),
        Dialect::Postgres => {
            statement.text("e.words @@ CAST(").value(all(SearchWord::tsquery, " & ")).text(" AS tsquery)")
        }
    };
}

impl fmt::Display for SearchWord {
    /// As questions have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.word, if self.open { "*" } else { "" })
    }
}

impl SearchWord {
    /// Adds that an entry of `exchanges x` has it, where few are meant: each one's words are looked at. On SQLite they have no
    /// entry before the number `first`.
    pub(super) fn condition_of_few(&self, dialect: Dialect, statement: &mut Statement, first: i64) {
        match dialect {
            Dialect::Sqlite => statement
                .text(
                    " AND x.exchange IN (SELECT e.exchange FROM entries e WHERE e.id IN \
                    (SELECT rowid FROM text_words WHERE text_words MATCH ",
                )
                .value(self.fts5())
                .text(" AND rowid >= ")
                .value(first)
                .text("))"),
            // `IS TRUE` keeps it from the index of words.
            Dialect::Postgres => statement
                .text(" AND EXISTS (SELECT 1 FROM entries e WHERE e.exchange = x.exchange AND (e.words @@ CAST(")
                .value(self.tsquery())
                .text(" AS tsquery)) IS TRUE)"),
        };
    }

    pub(super) fn fts5(&self) -> String {
        format!("\"{}\"{}", self.word, if self.open { "*" } else { "" })
    }

    fn tsquery(&self) -> String {
        format!("'{}'{}", self.word, if self.open { ":*" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_letters_and_digits_of_what_people_look_for() {
        let entry = br#"{"type": "exchange", "exchange": "0192", "requestURI": "/api/v1/namespaces/Shop/pods?limit=500",
            "sealed": "AAAA", "decision": {"allowed": true, "rule": "access.default"}, "requestObject": {"data": {"color": "BLAU-gr\u00fcn"}},
            "responseObject": {"encoding": "base64", "data": "c2VjcmV0"}, "responseDigest": {"sha256": "ff00", "bytes": 17}}"#;
        assert_eq!(
            words_of(entry),
            "17 500 access api blau color data default grün limit namespaces pods shop v1"
        );
        assert_eq!(words_of(b"no JSON"), "");
        let long = format!(r#"{{"requestObject": "{}"}}"#, "x".repeat(300_000));
        assert_eq!(words_of(long.as_bytes()).len(), MAX_WORD);
    }

    #[test]
    fn a_question_is_only_ever_words() {
        let asked = |question| {
            search_words(question).into_iter().map(|word| word.to_string()).collect::<Vec<_>>().join(" ")
        };
        for (question, words) in [
            ("kube-system  Secret", "kube system secret"),
            ("pass*", "pass*"),
            ("a-b*", "a b*"),
            ("' OR 1=1; DROP TABLE batches --", "or 1 drop table batches"),
            ("\" NEAR(a b) words:x ^y {z} AND NOT", "near a b words x y z and not"),
            ("'):* & | ! <-> \\ \0", ""),
            ("a a a", "a"),
        ] {
            assert_eq!(asked(question), words, "{question}");
        }
    }
}
