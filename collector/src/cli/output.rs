use super::Format;
use crate::present::sanitize::escape;
use serde::Serialize;
use std::io::{self, Write as _};

/// Prints lines; styles are dropped where standard output is no terminal or `NO_COLOR` is set.
pub(super) fn lines<L: AsRef<str>>(lines: impl IntoIterator<Item = L>) -> io::Result<()> {
    let mut out = anstream::AutoStream::auto(io::stdout()).lock();
    for line in lines {
        writeln!(out, "{}", line.as_ref())?;
    }
    out.flush()
}

/// Prints a value for scripts, in the format that is not for people.
pub(super) fn value(format: Format, value: &impl Serialize) -> io::Result<()> {
    match format {
        Format::Yaml => {
            let text = serde_saphyr::to_string(value).map_err(io::Error::other)?;
            lines(text.lines().map(escape))
        }
        Format::Json | Format::Text => json(value),
    }
}

/// Prints JSON, with every character that could drive or deceive a terminal escaped.
pub(super) fn json(value: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    lines(text.lines().map(escape))
}
