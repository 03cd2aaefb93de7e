//! A request's query, and the selectors in it.

use axum::extract::Query as Decoded;
use hyper::Uri;
use serde_json::Value;

use super::status::Failure;

/// The query's parameters, decoded, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

/// What `labelSelector` and `fieldSelector` let through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    Equals(String, String),
    Differs(String, String),
    Exists(String),
    Absent(String),
}

// === impl Query ===

impl Query {
    pub(super) fn of(uri: &Uri) -> Self {
        Self(Decoded::try_from_uri(uri).map(|Decoded(pairs)| pairs).unwrap_or_default())
    }

    #[cfg(test)]
    pub(super) fn parse(query: &str) -> Self {
        Self::of(&format!("/?{query}").parse().expect("a query"))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Whether a switch is on, as the API server reads booleans.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| !matches!(value, "false" | "0"))
    }

    /// A whole number; 0 and nonsense are none.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.get(name).and_then(|value| value.parse().ok()).filter(|number| *number > 0)
    }

    pub(super) fn dry_run(&self) -> bool {
        self.get("dryRun").is_some_and(|value| value == "All")
    }
}

// === impl Selector ===

impl Selector {
    pub(super) fn of(query: &Query) -> Result<Self, Failure> {
        let requirements = |name: &str| match query.get(name) {
            None | Some("") => Ok(Vec::new()),
            Some(text) => text.split(',').map(|part| Requirement::parse(part.trim())).collect(),
        };
        Ok(Self { labels: requirements("labelSelector")?, fields: requirements("fieldSelector")? })
    }

    pub(super) fn matches(&self, object: &Value) -> bool {
        let labels = &object["metadata"]["labels"];
        self.labels.iter().all(|requirement| requirement.allows(labels.get(requirement.key())))
            && self.fields.iter().all(|requirement| {
                let pointer = format!("/{}", requirement.key().replace('.', "/"));
                let empty = Value::from("");
                requirement.allows(Some(object.pointer(&pointer).unwrap_or(&empty)))
            })
    }
}

// === impl Requirement ===

impl Requirement {
    fn parse(text: &str) -> Result<Self, Failure> {
        let pair = |(key, value): (&str, &str)| (key.trim().to_owned(), value.trim().to_owned());
        if let Some((key, value)) = text.split_once("!=").map(pair) {
            return Ok(Self::Differs(key, value));
        }
        if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')).map(pair) {
            return Ok(Self::Equals(key, value));
        }
        match text.strip_prefix('!') {
            _ if text.is_empty() || text.contains([' ', '(', ')']) => {
                Err(Failure::bad_request(format!("unable to parse requirement: {text:?}")))
            }
            Some(key) => Ok(Self::Absent(key.to_owned())),
            None => Ok(Self::Exists(text.to_owned())),
        }
    }

    fn key(&self) -> &str {
        match self {
            Self::Equals(key, _) | Self::Differs(key, _) | Self::Exists(key) | Self::Absent(key) => key,
        }
    }

    fn allows(&self, found: Option<&Value>) -> bool {
        match self {
            Self::Equals(_, value) => found.is_some_and(|found| found == value),
            Self::Differs(_, value) => found.is_none_or(|found| found != value),
            Self::Exists(_) => found.is_some(),
            Self::Absent(_) => found.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn selectors_choose_by_labels_and_fields() {
        let object = json!({
            "metadata": {"name": "db", "namespace": "shop", "labels": {"app": "db", "tier": "back"}},
            "type": "Opaque",
        });
        for (query, expected) in [
            ("", Some(true)),
            ("labelSelector=app%3Ddb", Some(true)),
            ("labelSelector=app==db,tier=back", Some(true)),
            ("labelSelector=app=web", Some(false)),
            ("labelSelector=app!=web,!gone,tier", Some(true)),
            ("labelSelector=gone", Some(false)),
            ("fieldSelector=metadata.name=db,metadata.namespace=shop", Some(true)),
            ("fieldSelector=type!=Opaque", Some(false)),
            ("fieldSelector=metadata.name=web", Some(false)),
            ("labelSelector=app+in+(a)", None),
        ] {
            let selector = Selector::of(&Query::parse(query)).ok();
            assert_eq!(selector.map(|selector| selector.matches(&object)), expected, "{query}");
        }
    }
}
