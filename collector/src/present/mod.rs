//! Records as text for people. Everything in a record is somebody else's text: nothing reaches a terminal that has
//! not been through [`sanitize`].

pub mod body;
pub mod change;
pub mod evidence;
pub mod reconciliation;
pub mod sanitize;
pub mod sentence;
pub mod table;
pub(crate) mod terminal;
pub mod timeline;

use anstyle::{AnsiColor, Style};

/// Headings.
pub(crate) const BOLD: Style = Style::new().bold();
/// What is there for completeness.
pub(crate) const DIM: Style = Style::new().dimmed();
/// What went well.
pub(crate) const GREEN: Style = AnsiColor::Green.on_default();
/// Refusals and failures.
pub(crate) const RED: Style = AnsiColor::Red.on_default().bold();
/// What to look at: masked, unverified, incomplete.
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default();

/// `text` in a style. Output goes through `anstream`, which drops styles where they do not belong.
pub(crate) fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// `1 write`, `2 writes`.
pub(crate) fn counted(count: impl Into<i128>, noun: &str) -> String {
    let count = count.into();
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}
