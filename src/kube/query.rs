//! Query strings, decoded as Go's `url.ParseQuery` does, and refused where two decoders could differ.

use super::Refusal;

/// Parameters in a query; more are refused.
const MOST: usize = 256;

/// A decoded query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes the part after `?`.
    ///
    /// # Errors
    /// Malformed percent signs, `;`, non-UTF-8, control characters, too many parameters: 400.
    pub fn parse(raw: &str) -> Result<Self, Refusal> {
        let mut pairs = Vec::new();
        for part in raw.split('&').filter(|part| !part.is_empty()) {
            if pairs.len() >= MOST {
                return Err(ambiguous("the query has too many parameters"));
            }
            // Go drops a parameter with `;` in it; other readers split there.
            if part.contains(';') {
                return Err(ambiguous(
                    "the query has a semicolon, which readers split differently; write it as %3B",
                ));
            }
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let name = decode(name, true)?;
            // A script has lines; no other value does.
            let value = if name == "command" { decode_text(value, true)? } else { decode(value, true)? };
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// The first value of a parameter: the one the API server takes.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A flag, as the API server reads one: false only where it is absent, `0` or `false`, in any case.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.first(name).is_some_and(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    /// All values of a parameter, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A parameter that stands there twice with different values, other than those of which there may be several.
    pub(super) fn contradiction(&self) -> Option<&str> {
        let repeats = |name: &str| matches!(name, "command" | "ports");
        self.0.iter().enumerate().find_map(|(index, (name, value))| {
            let differs = |(other, text): &(String, String)| other == name && text != value;
            let rest = self.0.get(index..).unwrap_or_default();
            (!repeats(name) && rest.iter().any(differs)).then_some(name.as_str())
        })
    }
}

/// Percent-decodes once, as Go does. `plus` turns `+` into a space, as in queries.
pub(super) fn decode(text: &str, plus: bool) -> Result<String, Refusal> {
    let text = decode_text(text, plus)?;
    if text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
        return Err(ambiguous("the path or query has a control character"));
    }
    Ok(text)
}

/// The same, control characters included.
fn decode_text(text: &str, plus: bool) -> Result<String, Refusal> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'%' => {
                let (Some(high), Some(low)) = (tail.first().and_then(hex), tail.get(1).and_then(hex)) else {
                    return Err(ambiguous(
                        "a percent sign is not followed by two hex digits; write it as %25",
                    ));
                };
                bytes.push((high << 4) | low);
                rest = tail.get(2..).unwrap_or_default();
            }
            b'+' if plus => bytes.push(b' '),
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).map_err(|_| ambiguous("the path or query is not UTF-8 once decoded"))
}

fn hex(byte: &u8) -> Option<u8> {
    char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

pub(crate) fn ambiguous(why: &str) -> Refusal {
    Refusal::bad_request("request", "ambiguous", why)
}

/// The name that a field selector requires exactly (`metadata.name=x`), as `fields.ParseSelector` and
/// `RequiresExactMatch` find it; none where the API server refuses the selector.
pub(super) fn required_name(selector: &str) -> Option<String> {
    let mut escaped = false;
    let terms = selector.split(|c| {
        let splits = c == ',' && !escaped;
        escaped = c == '\\' && !escaped;
        splits
    });
    let mut name = None;
    for term in terms.filter(|term| !term.is_empty()) {
        let at = term.char_indices().map(|(at, _)| at).find(|at| {
            let rest = term.get(*at..).unwrap_or_default();
            rest.starts_with('=') || rest.starts_with("!=")
        })?;
        let (field, rest) = term.split_at_checked(at)?;
        let equal = rest.strip_prefix("==").or_else(|| rest.strip_prefix('='));
        let value = unescaped(equal.or_else(|| rest.strip_prefix("!="))?)?;
        if field == "metadata.name" && equal.is_some() && name.is_none() {
            name = Some(value);
        }
    }
    // Only what can be an object's name, `path.IsValidPathSegmentName`.
    name.filter(|name| !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '%']))
}

/// `fields.UnescapeValue`: none where the selector is one that the API server refuses.
fn unescaped(value: &str) -> Option<String> {
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.push(chars.next().filter(|c| matches!(c, '\\' | ',' | '='))?),
            ',' | '=' => return None,
            c => plain.push(c),
        }
    }
    Some(plain)
}
