//! The guard against masks being written back: a Secret that an agent read, masked, and now stores again would be lost.
//!
//! [`Sentinel`] is what to look for, built once from the replacement; a [`WriteBackGuard`] reads one request body as it
//! passes. It finds the replacement as it is, in base64 at any alignment, in base64 of base64, and where any of these is
//! written with JSON's or YAML's escapes or broken over lines. Not found: what is compressed.

mod json;
mod search;
#[cfg(test)]
mod tests;

use super::Replacement;
use super::literals::Literals;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use json::Strings;
use search::{Search, without_white_space};
use std::fmt;
use std::rc::Rc;

/// A text derived from the replacement is looked for only if it is at least that long: a shorter one could be chance.
const SHORTEST: usize = 8;

/// The forms of the replacement that no body may hold.
#[derive(Debug)]
pub struct Sentinel {
    forms: Literals,
    /// The same without white space, for texts read without theirs.
    unbroken: Literals,
}

impl Sentinel {
    /// The forms of that replacement.
    pub fn new(replacement: &Replacement) -> Self {
        let (mut forms, mut unbroken) = (Literals::new(), Literals::new());
        let raw = replacement.text().as_bytes();
        let _ = forms.add(raw, false);
        let squeezed = without_white_space(raw);
        if squeezed.len() >= SHORTEST {
            let _ = unbroken.add(&squeezed, false);
        }
        let once = embedded(raw);
        let twice = once.iter().flat_map(|text| embedded(text));
        for text in once.iter().cloned().chain(twice).filter(|text| text.len() >= SHORTEST) {
            let url_safe: Vec<u8> = text.iter().map(|byte| url_safe(*byte)).collect();
            for set in [&mut forms, &mut unbroken] {
                let _ = set.add(&text, false);
                if url_safe != text {
                    let _ = set.add(&url_safe, false);
                }
            }
        }
        Self { forms, unbroken }
    }
}

fn url_safe(byte: u8) -> u8 {
    match byte {
        b'+' => b'-',
        b'/' => b'_',
        other => other,
    }
}

/// What stands in any base64 text whose content holds `text`, for each of the three ways it can be aligned: the
/// characters that depend on `text` alone.
fn embedded(text: &[u8]) -> [Vec<u8>; 3] {
    [0_usize, 1, 2].map(|before| {
        let mut content = vec![0; before];
        content.extend_from_slice(text);
        let bits = content.len().saturating_mul(8);
        let (first, end) = (before.saturating_mul(8).div_ceil(6), bits.checked_div(6).unwrap_or(0));
        STANDARD_NO_PAD.encode(&content).as_bytes().get(first..end).unwrap_or_default().to_vec()
    })
}

/// How a request body is written; told by its content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    /// JSON, patches in JSON included.
    Json,
    /// YAML, apply patches included; JSON is YAML too.
    Yaml,
    /// Protobuf and anything else: bytes.
    Bytes,
}

impl BodyFormat {
    /// The format a `Content-Type` stands for; an API server takes none for JSON.
    pub fn of(content_type: &str) -> Self {
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match media_type.as_str() {
            "" => Self::Json,
            json if json.ends_with("json") => Self::Json,
            yaml if yaml.ends_with("yaml") => Self::Yaml,
            _ => Self::Bytes,
        }
    }
}

/// A mask in a request body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenBack {
    /// Which value holds it, `data.password`; none where that cannot be told.
    pub key: Option<String>,
}

impl fmt::Display for WrittenBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key.as_deref().unwrap_or("the request body");
        write!(
            f,
            "{key} holds the text that stands for a masked value: writing it would overwrite the real one"
        )
    }
}

impl std::error::Error for WrittenBack {}

/// Looks for masks in one request body as its bytes come.
#[derive(Debug)]
pub struct WriteBackGuard {
    sentinel: Rc<Sentinel>,
    /// Over the bytes as they are.
    raw: Search,
    /// Over the same without white space, where line ends need not end a text.
    unbroken: Option<Search>,
    /// Over the strings, escapes resolved.
    strings: Option<Strings>,
    found: Option<WrittenBack>,
}

impl WriteBackGuard {
    /// A guard for one body.
    pub fn new(sentinel: Rc<Sentinel>, format: BodyFormat) -> Self {
        let strings = match format {
            BodyFormat::Json => Some(Strings::json()),
            BodyFormat::Yaml => Some(Strings::yaml()),
            BodyFormat::Bytes => None,
        };
        let unbroken = (format == BodyFormat::Yaml).then(Search::default);
        Self { sentinel, raw: Search::default(), unbroken, strings, found: None }
    }

    /// Reads the body's next bytes.
    ///
    /// # Errors
    /// A mask ends in them, or has been found before: the body's last byte must not be forwarded.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), WrittenBack> {
        if let Some(found) = &self.found {
            return Err(found.clone());
        }
        let sentinel = &self.sentinel;
        let named = self.strings.as_mut().and_then(|strings| strings.push(sentinel, chunk));
        let unbroken = self.unbroken.as_mut().is_some_and(|search| search.push_unbroken(sentinel, chunk));
        let raw = self.raw.push(&sentinel.forms, chunk) || unbroken;
        let found = named.or_else(|| raw.then_some(WrittenBack { key: None }));
        self.found.clone_from(&found);
        found.map_or(Ok(()), Err)
    }
}
