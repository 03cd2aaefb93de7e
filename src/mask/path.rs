//! How paths to values are written in records and refusals.

/// Adds a map's key to a path: `.password`, or `['tls.crt']` where it is no plain name.
pub(super) fn push_key(path: &mut String, key: &[u8]) {
    let key = String::from_utf8_lossy(key);
    if !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    {
        path.push('.');
        path.push_str(&key);
    } else {
        path.push_str("['");
        path.push_str(&key.replace('\\', "\\\\").replace('\'', "\\'"));
        path.push_str("']");
    }
}
