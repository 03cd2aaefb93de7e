//! How far a long command is, on a standard error that is a terminal; elsewhere nothing.

use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// How often what has no end in sight shows that it goes on.
const TICK: Duration = Duration::from_millis(200);

/// Something of unknown length.
pub(super) fn going(what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(what);
    if !bar.is_hidden() {
        bar.enable_steady_tick(TICK);
    }
    bar
}

/// Bytes, of so many where that is known.
pub(super) fn bytes(what: &'static str, total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => (ProgressBar::new(total), "{msg} {wide_bar} {bytes}/{total_bytes} {eta}"),
        None => (ProgressBar::new_spinner(), "{spinner} {msg} {bytes} {elapsed}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style).with_message(what),
        Err(_) => bar,
    }
}
