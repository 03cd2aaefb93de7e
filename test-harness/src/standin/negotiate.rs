//! Content negotiation: what form of an answer a client takes, and what form its body has.

use hyper::HeaderMap;
use hyper::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use serde_json::Value;

use super::ordered::Ordered;
use super::protobuf;
use super::query::Query;
use super::status::Failure;

/// The form an answer takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) encoding: Encoding,
    pub(super) shape: Shape,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Json,
    PrettyJson,
    Yaml,
}

/// How much of an object an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Whole,
    /// `PartialObjectMetadata`, or a list of them.
    Metadata,
    /// Rows for people, each with this much of its object.
    Table(Include),
}

/// `includeObject`: what a table's row holds beside its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Include {
    Metadata,
    Object,
    None,
}

// === impl Form ===

impl Form {
    /// The first form the client accepts that can be served, as the API server goes through the list.
    pub(super) fn choose(headers: &HeaderMap, query: &Query) -> Result<Self, Failure> {
        let pretty = match query.get("pretty") {
            Some(value) => !matches!(value, "false" | "0"),
            None => headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).is_some_and(|agent| {
                ["curl", "Wget", "Mozilla/5.0"].iter().any(|browser| agent.starts_with(browser))
            }),
        };
        let json = if pretty { Encoding::PrettyJson } else { Encoding::Json };
        let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("*/*");
        let form = accept.split(',').find_map(|range| Self::from_range(range, json));
        let mut form = form.ok_or_else(Failure::not_acceptable)?;
        if let Shape::Table(include) = &mut form.shape {
            *include = match query.get("includeObject") {
                Some("Object") => Include::Object,
                Some("None") => Include::None,
                _ => Include::Metadata,
            };
        }
        Ok(form)
    }

    fn from_range(range: &str, json: Encoding) -> Option<Self> {
        let mut parts = range.split(';').map(str::trim);
        let encoding = match parts.next()? {
            "application/json" | "application/*" | "*/*" => json,
            "application/yaml" => Encoding::Yaml,
            _ => return None,
        };
        let mut shape = Shape::Whole;
        for part in parts {
            shape = match part.split_once('=') {
                Some(("as", "Table")) => Shape::Table(Include::Metadata),
                Some(("as", "PartialObjectMetadata" | "PartialObjectMetadataList")) => Shape::Metadata,
                // Aggregated discovery and whatever else is new.
                Some(("as", _)) => return None,
                Some(("v", version)) if version != "v1" => return None,
                _ => shape,
            };
        }
        Some(Self { encoding, shape })
    }

    /// What stays when only whole documents are served.
    pub(super) fn whole(self) -> Self {
        Self { shape: Shape::Whole, ..self }
    }
}

// === impl Encoding ===

impl Encoding {
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Json | Self::PrettyJson => "application/json",
            Self::Yaml => "application/yaml",
        }
    }

    /// The document in this encoding, with the line feed the API server ends it with.
    pub(super) fn encode(self, document: &Value) -> String {
        let mut text = match self {
            Self::Json => serde_json::to_string(&Ordered(document)).expect("JSON is JSON"),
            Self::PrettyJson => format!("{document:#}"),
            Self::Yaml => serde_saphyr::to_string(document).expect("JSON is YAML"),
        };
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text
    }
}

/// The media type of a request's body, without its parameters; JSON where none is named, as the API server takes it.
pub(super) fn body_type(headers: &HeaderMap) -> &str {
    let named = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    named.and_then(|value| value.split(';').next()).map_or("application/json", str::trim)
}

/// A request's body as an object; CBOR is not spoken here.
pub(super) fn decode(media_type: &str, body: &[u8]) -> Result<Value, Failure> {
    let unreadable =
        |problem: String| Failure::bad_request(format!("the object provided is unrecognized: {problem}"));
    match media_type {
        "application/json" => serde_json::from_slice(body).map_err(|error| unreadable(error.to_string())),
        "application/yaml" => serde_saphyr::from_slice(body).map_err(|error| unreadable(error.to_string())),
        protobuf::MEDIA_TYPE => protobuf::decode(body),
        _ => Err(Failure::unsupported_media_type(&["application/json", "application/yaml"])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_servable_range_wins() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        let form = |encoding, shape| Some(Form { encoding, shape });
        for (case, accept, agent, query, expected) in [
            ("nothing said", "", "kubectl", "", form(Encoding::Json, Shape::Whole)),
            ("kubectl get", table, "kubectl", "", form(Encoding::Json, Shape::Table(Include::Metadata))),
            (
                "kubectl get --sort-by",
                table,
                "kubectl",
                "includeObject=Object",
                form(Encoding::Json, Shape::Table(Include::Object)),
            ),
            (
                "no object",
                table,
                "kubectl",
                "includeObject=None",
                form(Encoding::Json, Shape::Table(Include::None)),
            ),
            ("only an old table", "application/json;as=Table;v=v1beta1;g=meta.k8s.io", "kubectl", "", None),
            (
                "metadata",
                "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
                "kubectl",
                "",
                form(Encoding::Json, Shape::Metadata),
            ),
            ("yaml", "application/yaml", "kubectl", "", form(Encoding::Yaml, Shape::Whole)),
            (
                "protobuf or JSON",
                "application/vnd.kubernetes.protobuf,application/json",
                "kubectl",
                "",
                form(Encoding::Json, Shape::Whole),
            ),
            ("protobuf only", "application/vnd.kubernetes.protobuf", "kubectl", "", None),
            ("CBOR only", "application/cbor", "kubectl", "", None),
            (
                "aggregated discovery or JSON",
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
                "kubectl",
                "",
                form(Encoding::Json, Shape::Whole),
            ),
            ("a browser", "*/*", "curl/8", "", form(Encoding::PrettyJson, Shape::Whole)),
            (
                "a browser that wants it plain",
                "*/*",
                "curl/8",
                "pretty=false",
                form(Encoding::Json, Shape::Whole),
            ),
            (
                "pretty",
                "application/json",
                "kubectl",
                "pretty=true",
                form(Encoding::PrettyJson, Shape::Whole),
            ),
        ] {
            let mut headers = HeaderMap::new();
            if !accept.is_empty() {
                headers.insert(ACCEPT, accept.parse().expect("a header"));
            }
            headers.insert(USER_AGENT, agent.parse().expect("a header"));
            let chosen = Form::choose(&headers, &Query::parse(query)).ok();
            assert_eq!(chosen, expected, "{case}");
        }
    }
}
