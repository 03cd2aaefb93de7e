//! Media types: what a response is, and what is asked of the API server so that it can be masked.

use super::Refusal;

/// What a body is, by its `Content-Type`. The masker is chosen by this, never by the request's `Accept`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// `application/json`, `application/…+json`.
    Json,
    /// `application/vnd.kubernetes.protobuf`.
    Protobuf,
    /// YAML.
    Yaml,
    /// CBOR.
    Cbor,
    /// Anything else.
    Other,
}

impl Media {
    /// Reads a `Content-Type`; parameters are ignored.
    pub fn parse(value: &[u8]) -> Self {
        let value = String::from_utf8_lossy(value).to_ascii_lowercase();
        match value.split(';').next().unwrap_or_default().trim() {
            "application/json" => Self::Json,
            "application/vnd.kubernetes.protobuf" => Self::Protobuf,
            "application/yaml" | "application/x-yaml" | "text/yaml" | "text/x-yaml" => Self::Yaml,
            "application/cbor" | "application/cbor-seq" => Self::Cbor,
            other if other.ends_with("+json") => Self::Json,
            other if other.ends_with("+yaml") => Self::Yaml,
            other if other.ends_with("+cbor") || other.ends_with("+cbor-seq") => Self::Cbor,
            _ => Self::Other,
        }
    }
}

/// What is asked of the API server, given what the client accepts. JSON is asked for wherever the client takes it, as an
/// object, Table or PartialObjectMetadata; YAML is answered as JSON, of which it is a superset. A client that takes only
/// protobuf is left that.
///
/// # Errors
/// 406 where nothing the client accepts can be masked.
pub fn accept(accepted: &[&[u8]]) -> Result<String, Refusal> {
    let mut wanted: Vec<String> = Vec::new();
    let mut protobuf: Vec<String> = Vec::new();
    // Only the first line counts for the API server; Envoy joins lines by commas, so all of them are looked at here.
    for value in accepted {
        let Ok(value) = std::str::from_utf8(value) else { continue };
        for range in value.split(',').take(64) {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default();
            // Parameters that shape the answer; weights and the rest are left to our own order.
            let shape: String = parts
                .filter(|part| ["as=", "g=", "v="].iter().any(|name| part.starts_with(name)))
                .filter(|part| {
                    part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"=._-".contains(&byte))
                })
                .map(|part| format!(";{part}"))
                .collect();
            match media {
                "application/json" | "application/*" | "*/*" => {
                    push(&mut wanted, format!("application/json{shape}"))
                }
                "application/yaml" => push(&mut wanted, "application/json".to_owned()),
                "application/vnd.kubernetes.protobuf" => push(&mut protobuf, format!("{media}{shape}")),
                _ => {}
            }
        }
    }
    if accepted.is_empty() {
        return Ok("application/json".to_owned());
    }
    if wanted.is_empty() {
        wanted = protobuf;
    }
    if wanted.is_empty() {
        return Err(Refusal::not_acceptable(
            "none of the media types in Accept can be masked; accept application/json or application/vnd.kubernetes.protobuf",
        ));
    }
    Ok(wanted.join(","))
}

fn push(list: &mut Vec<String>, item: String) {
    if !list.contains(&item) {
        list.push(item);
    }
}

/// The patch types of the API server, matched exactly as it does.
const PATCHES: [&str; 5] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
    "application/apply-patch+cbor",
];

/// Checks a PATCH's `Content-Type`.
///
/// # Errors
/// 415 for any other type, and for CBOR, which is not looked into.
pub fn check_patch(content_type: Option<&[u8]>) -> Result<(), Refusal> {
    let value = content_type.and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default();
    let media = value.split(';').next().unwrap_or_default().trim();
    if PATCHES.contains(&media) && media != "application/apply-patch+cbor" {
        return Ok(());
    }
    Err(Refusal::unsupported_media_type(
        "patchType",
        "this patch type is not known; use one of application/json-patch+json, application/merge-patch+json, \
         application/strategic-merge-patch+json, application/apply-patch+yaml",
    ))
}
