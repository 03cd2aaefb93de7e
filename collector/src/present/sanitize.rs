//! Makes untrusted text safe to print: no control characters (which drive the terminal), no bidirectional overrides
//! (which reorder what is read), no invisible characters (which hide it).

use std::borrow::Cow;
use std::fmt::Write as _;
use unicode_general_category::{GeneralCategory, get_general_category};

/// Longest text shown in one line; what is longer is cut with an ellipsis.
const MAX_LINE: usize = 400;

/// True for a character that is shown as its escape.
pub(crate) fn is_unsafe(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    let invisible = matches!(c,
        // Blank letters and joiners that are not of category Cf.
        '\u{034f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}'
        // Variation selectors.
        | '\u{180b}'..='\u{180f}' | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}');
    let category = matches!(
        get_general_category(c),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
            | GeneralCategory::PrivateUse
            | GeneralCategory::Surrogate
            | GeneralCategory::Unassigned
    );
    // Spaces other than the ASCII one look alike and may be of no width.
    invisible || category || (c.is_whitespace() && c != ' ')
}

/// Untrusted text as one printable line: what is unsafe appears as its JSON escape, `\u001b`.
pub fn line(text: &str) -> Cow<'_, str> {
    let text = match text.char_indices().nth(MAX_LINE) {
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or(text))),
        None => Cow::Borrowed(text),
    };
    match text {
        Cow::Borrowed(text) => escape(text),
        Cow::Owned(text) => Cow::Owned(escape(&text).into_owned()),
    }
}

/// The whole of an untrusted text with every unsafe character, line ends included, as its JSON escape. JSON text
/// stays the same JSON: such characters stand only inside its strings.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_unsafe(c) => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Untrusted text of several lines: line ends and tabs stay, everything else as [`escape`] has it.
pub fn lines(text: &str) -> impl Iterator<Item = String> {
    text.split('\n').map(|line| {
        let line = line.strip_suffix('\r').unwrap_or(line);
        line.split('\t').map(escape).collect::<Vec<_>>().join("    ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drives_or_deceives_a_terminal_is_shown_as_its_escape() {
        for (name, text, shown) in [
            ("plain", "read Secret db: ünïcødé 秘密 🔑", "read Secret db: ünïcødé 秘密 🔑"),
            ("colour", "\u{1b}[31mred", "\\u001b[31mred"),
            ("title", "\u{1b}]0;x\u{7}", "\\u001b]0;x\\u0007"),
            ("C1 CSI", "\u{9b}2J", "\\u009b2J"),
            ("carriage return", "good\rbad", "good\\rbad"),
            ("new line", "a\nb\tc", "a\\nb\\tc"),
            ("backspace and delete", "a\u{8}\u{7f}", "a\\u0008\\u007f"),
            ("bidi override", "user\u{202e}gpj", "user\\u202egpj"),
            ("bidi isolates", "\u{2066}x\u{2069}", "\\u2066x\\u2069"),
            ("zero width", "a\u{200b}b\u{feff}c\u{2060}", "a\\u200bb\\ufeffc\\u2060"),
            ("tag characters", "a\u{e0041}", "a\\udb40\\udc41"),
            ("variation selector", "a\u{fe0f}", "a\\ufe0f"),
            ("hangul filler", "a\u{3164}", "a\\u3164"),
            ("line separator", "a\u{2028}b", "a\\u2028b"),
            ("no-break space", "a\u{a0}b", "a\\u00a0b"),
        ] {
            assert_eq!(line(text), shown, "{name}");
        }
    }

    #[test]
    fn long_lines_are_cut_at_a_character() {
        let cut = line(&"é".repeat(1000)).into_owned();
        assert_eq!(cut.chars().count(), MAX_LINE + 1);
        assert!(cut.ends_with('…'));
    }

    #[test]
    fn escaped_json_is_the_same_json() {
        let value = serde_json::json!({"k\u{202e}": "a\u{200b}\u{1b}\n\u{e0041}"});
        let text = escape(&value.to_string()).into_owned();
        assert!(text.is_ascii());
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
