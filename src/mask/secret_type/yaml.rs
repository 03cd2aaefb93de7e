//! The `type` of a YAML document as people and tools write them, without a YAML parser: anything unusual is an error.
//!
//! In a block mapping whose keys begin in the first column every key begins a line there, whatever stands in between. So
//! it is enough to look at the lines that are not indented, and to refuse where one is no plain `key: value`.

use super::TypeUnclear;

/// The value of the top level's `type`; none where there is none.
pub(super) fn top_level_type(body: &[u8]) -> Result<Option<String>, TypeUnclear> {
    let text = std::str::from_utf8(body).map_err(|_| TypeUnclear)?;
    // What YAML 1.1 takes for line breaks or a mark, beside the usual ones.
    if text.contains(['\u{85}', '\u{2028}', '\u{2029}', '\u{feff}', '\0']) {
        return Err(TypeUnclear);
    }
    let mut found = None;
    let mut begun = false;
    let mut lines = text.split(['\n', '\r']).filter(|line| !line.trim().is_empty()).peekable();
    while let Some(line) = lines.next() {
        if line.trim_start().starts_with('#') {
            continue;
        }
        if line.starts_with([' ', '\t']) {
            if begun {
                continue;
            }
            return Err(TypeUnclear);
        }
        if line.trim_end() == "---" && !begun {
            // Of a second document nothing may be seen: `begun` stays until a key comes, and a key refuses it.
            continue;
        }
        begun = true;
        let (key, value) = entry(line)?;
        // Old API servers match keys in any case.
        if !key.eq_ignore_ascii_case("type") {
            continue;
        }
        let continued = lines.peek().is_some_and(|next| next.starts_with([' ', '\t']) && !comment(next));
        let value = scalar(value)?;
        if continued || found.replace(value).is_some() {
            return Err(TypeUnclear);
        }
    }
    if begun { Ok(found) } else { Err(TypeUnclear) }
}

fn comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// A line's plain or quoted key, and what follows its colon.
fn entry(line: &str) -> Result<(&str, &str), TypeUnclear> {
    let (key, value) = line.split_once(':').ok_or(TypeUnclear)?;
    if !value.is_empty() && !value.starts_with([' ', '\t']) {
        return Err(TypeUnclear);
    }
    let key = unquoted(key.trim_end());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/');
    let first = key.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    if first && key.bytes().all(plain) { Ok((key, value)) } else { Err(TypeUnclear) }
}

/// A plain or quoted value on one line, without escapes, anchors, tags or aliases.
fn scalar(value: &str) -> Result<String, TypeUnclear> {
    let value = value.split_once(" #").map_or(value, |(value, _)| value).trim();
    let value = unquoted(value);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/');
    if !value.is_empty() && value.bytes().all(plain) { Ok(value.to_owned()) } else { Err(TypeUnclear) }
}

fn unquoted(text: &str) -> &str {
    let inner = |quote: char| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    inner('"').or_else(|| inner('\'')).unwrap_or(text)
}
