//! What happens to the entries of a Secret's maps: data, annotations, labels.

/// What happens to one entry's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Treatment {
    Keep,
    Replace,
}

/// Decides about an entry by its key and value.
pub(super) type Treat = fn(key: &[u8], value: &[u8]) -> Treatment;

/// Copies that are compressed and encoded.
const ENCODED: [&[u8]; 2] = [b"objectset.rio.cattle.io/applied", b"banzaicloud.com/last-applied"];

/// Whether an annotation holds a copy of the object as JSON, which can be masked inside.
pub(super) fn holds_json(key: &[u8]) -> bool {
    matches!(key, b"kubectl.kubernetes.io/last-applied-configuration" | b"kapp.k14s.io/original")
}

/// Longer annotation values may hold a copy of the object.
const MAX_KEPT: usize = 256;

/// `data` and `stringData`: always.
pub(super) fn secret(_key: &[u8], _value: &[u8]) -> Treatment {
    Treatment::Replace
}

/// Annotations: tools keep copies of the whole object in them.
pub(super) fn annotation(key: &[u8], value: &[u8]) -> Treatment {
    // The API server's own marks on watch bookmarks; clients act on them.
    const SERVER: [&[u8]; 2] = [b"k8s.io/initial-events-end", b"kubernetes.io/initial-events-list-blueprint"];
    if SERVER.contains(&key) {
        return Treatment::Keep;
    }
    if holds_json(key) || ENCODED.contains(&key) || value.len() > MAX_KEPT || looks_like_a_copy(value) {
        return Treatment::Replace;
    }
    Treatment::Keep
}

/// Labels: the API server allows 63 characters, too few for a copy, and only of names' alphabet.
pub(super) fn label(_key: &[u8], value: &[u8]) -> Treatment {
    if value.len() > 63 { Treatment::Replace } else { Treatment::Keep }
}

/// JSON, or a long run of base64.
fn looks_like_a_copy(value: &[u8]) -> bool {
    let structured = value.trim_ascii_start().first().is_some_and(|first| matches!(first, b'{' | b'['));
    let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=');
    structured || value.split(|byte| !base64(byte)).any(|run| run.len() >= 40)
}
