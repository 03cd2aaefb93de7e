//! What masking does to a JSON document, said again slowly: on a tree that keeps the order and the repetitions of keys.

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// `null`, `true`, `false`, or a number.
    Plain(String),
    /// A string.
    Text(String),
    /// An array.
    List(Vec<Node>),
    /// An object, its members in their order.
    Object(Vec<(String, Node)>),
}

/// What the request says of the objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// All are Secrets.
    Secrets,
    /// All carry tokens.
    Tokens,
    /// What their kind says.
    ByKind,
}

/// What stands in for values.
pub struct Masks<'m> {
    /// For base64.
    pub base64: &'m str,
    /// For plain text.
    pub text: &'m str,
    /// For a Status' text.
    pub withheld: &'m str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Nature {
    Secret,
    Token,
    Other,
    /// It never says; masked as both.
    Unknown,
}

/// The documents of a body; none where it is no sequence of JSON documents.
pub fn read(body: &[u8]) -> Option<Vec<Node>> {
    serde_json::Deserializer::from_slice(body).into_iter::<Node>().collect::<Result<_, _>>().ok()
}

/// A document masked. Annotations and labels may come out otherwise; see [`same`].
pub fn mask(document: &Node, taken: Taken, watch: bool, masks: &Masks<'_>) -> Node {
    let oracle = Oracle { taken, masks };
    match document {
        Node::Object(members) if watch => Node::Object(
            members
                .iter()
                .map(|(key, value)| {
                    let value =
                        if key == "object" { oracle.object(value, None, false) } else { value.clone() };
                    (key.clone(), value)
                })
                .collect(),
        ),
        _ => oracle.object(document, None, true),
    }
}

struct Oracle<'m> {
    taken: Taken,
    masks: &'m Masks<'m>,
}

impl Oracle<'_> {
    fn object(&self, node: &Node, outer: Option<Nature>, document: bool) -> Node {
        let Node::Object(members) = node else { return node.clone() };
        let kind = members.iter().position(|(key, value)| key == "kind" && matches!(value, Node::Text(_)));
        let said = kind.map(|at| match &members[at].1 {
            Node::Text(kind) if kind == "Secret" || kind == "SecretList" => Nature::Secret,
            Node::Text(kind) if kind == "TokenRequest" || kind == "TokenReview" => Nature::Token,
            _ => Nature::Other,
        });
        let (before, after) = match (self.taken, outer) {
            (Taken::Secrets, _) | (Taken::ByKind, Some(Nature::Secret)) => (Nature::Secret, Nature::Secret),
            (Taken::Tokens, _) => (Nature::Token, Nature::Token),
            // An item of a typed list is what the list is; one that says otherwise is from there on.
            (Taken::ByKind, Some(Nature::Other)) => (Nature::Other, said.unwrap_or(Nature::Other)),
            (Taken::ByKind, _) => (Nature::Unknown, said.unwrap_or(Nature::Unknown)),
        };
        let waits = |key: &str| matches!(key, "data" | "stringData" | "metadata" | "status" | "spec");
        let first = members.iter().position(|(key, _)| waits(key)).unwrap_or(members.len());
        let members = members.iter().enumerate().map(|(at, (key, value))| {
            let known = kind.is_some_and(|kind| at > kind);
            // Output that waits is decided by the kind that comes.
            let nature = if known || (before == Nature::Unknown && at >= first) { after } else { before };
            (key.clone(), self.member(key, value, nature, document))
        });
        Node::Object(members.collect())
    }

    fn member(&self, key: &str, value: &Node, nature: Nature, document: bool) -> Node {
        let secret = matches!(nature, Nature::Secret | Nature::Unknown);
        let token = matches!(nature, Nature::Token | Nature::Unknown);
        match key {
            "items" if document => each(value, |item| self.object(item, Some(nature), false)),
            "rows" if document => {
                each(value, |row| field(row, "object", |object| self.object(object, Some(nature), false)))
            }
            "data" if secret => members(value, |value| texts(value, self.masks.base64)),
            "stringData" if secret => members(value, |value| texts(value, self.masks.text)),
            "message" if secret => texts(value, self.masks.withheld),
            "details" if secret => field(value, "causes", |causes| {
                each(causes, |cause| field(cause, "message", |text| texts(text, self.masks.withheld)))
            }),
            "status" | "spec" if token => field(value, "token", |token| texts(token, self.masks.text)),
            "metadata" if secret => ["annotations", "labels"].iter().fold(value.clone(), |value, name| {
                field(&value, name, |map| members(map, |text| texts(text, ANY)))
            }),
            _ => value.clone(),
        }
    }
}

/// Stands where both the original and a mask are right.
const ANY: &str = "\u{0}any";

fn texts(value: &Node, with: &str) -> Node {
    match value {
        Node::Text(_) => Node::Text(with.to_owned()),
        other => other.clone(),
    }
}

fn each(value: &Node, change: impl Fn(&Node) -> Node) -> Node {
    match value {
        Node::List(items) => Node::List(items.iter().map(change).collect()),
        other => other.clone(),
    }
}

fn members(value: &Node, change: impl Fn(&Node) -> Node) -> Node {
    match value {
        Node::Object(all) => {
            Node::Object(all.iter().map(|(key, value)| (key.clone(), change(value))).collect())
        }
        other => other.clone(),
    }
}

fn field(value: &Node, name: &str, change: impl Fn(&Node) -> Node) -> Node {
    match value {
        Node::Object(all) => Node::Object(
            all.iter()
                .map(|(key, value)| (key.clone(), if key == name { change(value) } else { value.clone() }))
                .collect(),
        ),
        other => other.clone(),
    }
}

/// Whether what came out is what the oracle says.
pub fn same(expected: &Node, got: &Node) -> bool {
    match (expected, got) {
        (Node::Text(expected), Node::Text(_)) if expected == ANY => true,
        (Node::List(expected), Node::List(got)) => {
            expected.len() == got.len() && expected.iter().zip(got).all(|(one, other)| same(one, other))
        }
        (Node::Object(expected), Node::Object(got)) => {
            expected.len() == got.len()
                && expected.iter().zip(got).all(|(one, other)| one.0 == other.0 && same(&one.1, &other.1))
        }
        (expected, got) => expected == got,
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Nodes)
    }
}

struct Nodes;

impl<'de> Visitor<'de> for Nodes {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        Ok(Node::Plain("null".to_owned()))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Plain(value.to_string()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Plain(value.to_string()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Plain(value.to_string()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Plain(value.to_string()))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element()? {
            all.push(item);
        }
        Ok(Node::List(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Node, A::Error> {
        let mut all = Vec::new();
        while let Some(member) = members.next_entry()? {
            all.push(member);
        }
        Ok(Node::Object(all))
    }
}
