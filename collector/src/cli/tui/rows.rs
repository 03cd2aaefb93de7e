//! A list of lines, of which only those on the screen are ever laid out.

use anstream::adapter::strip_str;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

/// Longest piece of one line, in characters: what is longer goes on in the next.
const LONGEST: usize = 1000;

/// One line, with styles of `present` and otherwise nothing that is not printable.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) text: String,
    /// What Enter opens.
    pub(super) opens: Option<String>,
}

/// Lines, the one that is chosen, and what of them is on the screen.
#[derive(Default)]
pub(super) struct Rows {
    pub(super) rows: Vec<Row>,
    pub(super) cursor: usize,
    top: usize,
    /// Columns that are off the screen to the left.
    pub(super) left: usize,
}

impl Rows {
    /// Lines that open nothing.
    pub(super) fn of(lines: impl IntoIterator<Item = String>) -> Self {
        let mut rows = Self::default();
        lines.into_iter().for_each(|text| rows.push(text, None));
        rows
    }

    pub(super) fn push(&mut self, text: String, opens: Option<String>) {
        if text.char_indices().nth(LONGEST).is_none() {
            return self.rows.push(Row { text, opens });
        }
        let plain: Vec<char> = strip_str(&text).to_string().chars().collect();
        for piece in plain.chunks(LONGEST) {
            self.rows.push(Row { text: piece.iter().collect(), opens: opens.clone() });
        }
    }

    /// Down, or with a negative number up.
    pub(super) fn step(&mut self, by: isize) {
        self.cursor = self.cursor.saturating_add_signed(by).min(self.rows.len().saturating_sub(1));
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.cursor + 1 >= self.rows.len()
    }

    /// Goes to the next or previous line with this text, upper and lower case alike; false where there is none.
    pub(super) fn search(&mut self, text: &str, forward: bool) -> bool {
        let (count, wanted) = (self.rows.len(), text.to_lowercase());
        let found = (1..=count).map(|by| match forward {
            true => (self.cursor + by) % count,
            false => (self.cursor + count - by) % count,
        });
        let has = |index: &usize| {
            let text = &self.rows[*index].text;
            match text.contains('\x1b') {
                true => strip_str(text).to_string().to_lowercase().contains(&wanted),
                false => text.to_lowercase().contains(&wanted),
            }
        };
        let found = found.into_iter().find(has);
        self.cursor = found.unwrap_or(self.cursor);
        found.is_some()
    }

    /// The lines on a screen of this height, the chosen one among them.
    pub(super) fn visible(&mut self, height: usize) -> Vec<Line<'static>> {
        if self.cursor < self.top {
            self.top = self.cursor;
        }
        if self.cursor >= self.top + height {
            self.top = (self.cursor + 1).saturating_sub(height);
        }
        let (top, cursor, left) = (self.top, self.cursor, self.left);
        let on_screen = self.rows.iter().enumerate().skip(top).take(height);
        let laid_out = on_screen.map(|(index, row)| {
            let line = laid_out(&row.text, left);
            if index == cursor { line.style(Modifier::REVERSED) } else { line }
        });
        laid_out.collect()
    }
}

/// A line in its styles, without its first columns.
pub(super) fn laid_out(text: &str, left: usize) -> Line<'static> {
    let (mut spans, mut style, mut skip) = (Vec::new(), Style::new(), left);
    for (index, part) in text.split('\x1b').enumerate() {
        let part = match (index, part.split_once('m')) {
            (0, _) => part,
            (_, Some((codes, rest))) => {
                style = styled(style, codes);
                rest
            }
            (_, None) => "",
        };
        let shown: String = part.chars().skip(skip).collect();
        skip = skip.saturating_sub(part.chars().count());
        if !shown.is_empty() {
            spans.push(Span::styled(shown, style));
        }
    }
    Line::from(spans)
}

/// The style after an escape sequence of `present`'s, the only ones there are.
fn styled(style: Style, codes: &str) -> Style {
    match codes.trim_start_matches('[') {
        "1" => style.add_modifier(Modifier::BOLD),
        "2" => style.add_modifier(Modifier::DIM),
        "31" => style.fg(Color::Red),
        "32" => style.fg(Color::Green),
        "33" => style.fg(Color::Yellow),
        _ => Style::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::present::{BOLD, DIM, GREEN, RED, YELLOW, styled};

    #[test]
    fn styles_become_styles_and_never_text() {
        for (style, plain) in [(BOLD, "a"), (DIM, "b"), (GREEN, "c"), (RED, "d"), (YELLOW, "e")] {
            let line = laid_out(&format!("x{}y", styled(style, plain)), 0);
            let text: String = line.spans.iter().map(|span| span.content.as_ref()).collect();
            assert_eq!(text, format!("x{plain}y"));
            assert_ne!(line.spans[1].style, Style::new());
            assert_eq!(line.spans[2].style, Style::new());
        }
        assert_eq!(laid_out("abc", 2).spans[0].content, "c");
    }

    #[test]
    fn search_goes_around() {
        let mut rows = Rows::of(["one", "Two", "three"].map(str::to_owned));
        for (forward, text, cursor, found) in
            [(true, "two", 1, true), (true, "ONE", 0, true), (false, "e", 2, true), (true, "four", 2, false)]
        {
            assert_eq!((rows.search(text, forward), rows.cursor), (found, cursor), "{text}");
        }
        assert!(!Rows::default().search("x", true));
    }
}
