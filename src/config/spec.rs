//! The configuration's shape as one table: validation, the JSON Schema and the reference page are made from it.

/// What a value may be.
#[derive(Debug)]
pub enum Shape {
    /// An object with these fields and no others.
    Object(&'static [Field]),
    /// An object whose keys are the user's.
    Map(&'static Shape),
    /// A list of at most this many values of one shape.
    List(&'static Shape, usize),
    /// Text of at most this many bytes.
    Text(usize),
    /// A Go-style duration, at least and at most so many milliseconds.
    Duration(u64, u64),
    /// A whole number within bounds.
    Integer(u64, u64),
    /// `true` or `false`.
    Flag,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A JSON object kept as it is (a JWK set).
    Json,
}

/// One field of an object.
#[derive(Debug)]
pub struct Field {
    /// Its name on the wire.
    pub name: &'static str,
    /// What it holds.
    pub shape: &'static Shape,
    /// Whether it must be there.
    pub required: bool,
    /// Its default, as JSON, for people; empty where it has none.
    pub default: &'static str,
    /// What it is for, in a sentence or two.
    pub doc: &'static str,
}

/// A required field.
pub(super) const fn required(name: &'static str, shape: &'static Shape, doc: &'static str) -> Field {
    Field { name, shape, required: true, default: "", doc }
}

/// An optional field with its default.
pub(super) const fn optional(
    name: &'static str,
    shape: &'static Shape,
    default: &'static str,
    doc: &'static str,
) -> Field {
    Field { name, shape, required: false, default, doc }
}

/// Names, URLs, paths: longer ones are mistakes.
pub(super) const TEXT: Shape = Shape::Text(4096);
/// A list of such.
pub(super) const TEXTS: Shape = Shape::List(&TEXT, 1000);
/// Where a secret value comes from.
pub(super) const FROM_ENV: Shape = Shape::Object(&[required(
    "env",
    &TEXT,
    "Name of the environment variable that holds the value. Never written inline, so that no custom resource or config dump holds it.",
)]);
