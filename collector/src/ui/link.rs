//! Where things are: every state of a page is a URL.

use crate::store::model::ExchangeSummary;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use chaperone_record::ObjectRef;
use form_urlencoded::Serializer;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::convert::Infallible;

/// `/path?name=value&…`, without the parameters that have no value.
pub(super) fn to(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut query = Serializer::new(String::new());
    query.extend_pairs(parameters.iter().filter(|(_, value)| !value.is_empty()));
    match query.finish() {
        query if query.is_empty() => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}

fn segment(text: &str) -> impl std::fmt::Display {
    utf8_percent_encode(text, NON_ALPHANUMERIC)
}

/// A session's page.
pub(super) fn session(session: &str) -> String {
    format!("/sessions/{}", segment(session))
}

/// An exchange's page.
pub(super) fn exchange(exchange: &str) -> String {
    format!("/exchanges/{}", segment(exchange))
}

/// The history of an object; none for what has no name.
pub(super) fn object(exchange: &ExchangeSummary) -> Option<String> {
    let object = named(exchange)?;
    let parameters = [
        ("group", object.api_group.as_str()),
        ("resource", &object.resource),
        ("namespace", &object.namespace),
        ("name", &object.name),
    ];
    Some(to("/objects", &parameters))
}

/// The object an exchange is about, with its name from the body where the path has none; without a subresource.
pub(super) fn named(exchange: &ExchangeSummary) -> Option<ObjectRef> {
    let mut object = exchange.requested.as_ref()?.object_ref.clone()?;
    if object.name.is_empty() {
        object.name = exchange.object_name.clone()?;
    }
    object.subresource.clear();
    if object.resource == "namespaces" {
        object.namespace.clear();
    }
    Some(object)
}

/// The parameters of a page's URL. Forms send empty ones too: they count as absent.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let query = parts.uri.query().unwrap_or("").as_bytes();
        let pairs = form_urlencoded::parse(query).into_owned();
        Ok(Self(pairs.filter(|(_, value)| !value.trim().is_empty()).collect()))
    }
}

impl Query {
    /// The first value of this name, or nothing.
    pub(super) fn get(&self, name: &str) -> &str {
        self.find(name).unwrap_or("")
    }

    /// The first value of this name.
    pub(super) fn find(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// All of them.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The same page with one of them other than it is.
    pub(super) fn with(&self, path: &str, name: &str, value: &str) -> String {
        let mut pairs: Vec<_> = self.pairs().filter(|(other, _)| *other != name).collect();
        pairs.push((name, value));
        to(path, &pairs)
    }
}
