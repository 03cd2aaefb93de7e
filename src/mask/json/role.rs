//! What stands where: the places of a Kubernetes JSON document that masking has to know.

/// The place a value stands at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Nothing here can hold a value; only the syntax is checked.
    Pass,
    /// The whole document: an object, list, Table, Status or watch event.
    Document,
    /// An object in a list, a Table's row or a watch event.
    Object,
    /// `kind` of an object.
    Kind,
    /// `metadata` of a Secret.
    Metadata,
    /// `annotations` and `labels` of a Secret.
    Annotations,
    Labels,
    /// One of their values.
    Annotation,
    Label,
    /// `data`: values are base64. `stringData`: plain text.
    Data,
    StringData,
    /// `binaryData` of a ConfigMap: base64, which is looked through as what it decodes to.
    BinaryData,
    /// `metadata` and its `annotations` in other objects, for the copies that tools keep there.
    OtherMetadata,
    OtherAnnotations,
    /// One of their values.
    DataValue,
    PlainValue,
    /// `items`, `rows` and one of the rows.
    Items,
    Rows,
    Row,
    /// `status` of a TokenRequest, `spec` of a TokenReview.
    TokenHolder,
    /// A Status' `details`, its `causes` and one of them.
    Details,
    Causes,
    Cause,
    /// A Status' text, which may quote the object.
    Text,
}

/// What an object turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nature {
    Secret,
    Token,
    /// Nothing to mask.
    Other,
    /// The same, where the configuration has more to mask. Only asked with, never an object's own.
    Looked,
    /// Its `kind` has not come yet.
    Unknown,
}

impl Nature {
    /// By the object's `kind`.
    pub(super) fn of_kind(kind: &[u8]) -> Self {
        match kind {
            b"Secret" | b"SecretList" => Self::Secret,
            b"TokenRequest" | b"TokenReview" => Self::Token,
            _ => Self::Other,
        }
    }
}

impl Role {
    /// Whether a key of the object at this place matters, so that it must not be there twice.
    pub(super) fn reads_keys(self) -> bool {
        self != Self::Pass
    }

    /// The place of a member, given what the object is.
    pub(super) fn member(self, key: &[u8], nature: Nature, watch: bool) -> Self {
        match self {
            Self::Document if watch => match key {
                b"object" => Self::Object,
                _ => Self::Pass,
            },
            Self::Document => match key {
                b"kind" => Self::Kind,
                b"items" => Self::Items,
                b"rows" => Self::Rows,
                _ => Self::object_member(key, nature),
            },
            // An event's object may be a Table, or a list.
            Self::Object => match key {
                b"kind" => Self::Kind,
                b"items" => Self::Items,
                b"rows" => Self::Rows,
                _ => Self::object_member(key, nature),
            },
            Self::Row if key == b"object" => Self::Object,
            Self::Metadata => match key {
                b"annotations" => Self::Annotations,
                b"labels" => Self::Labels,
                _ => Self::Pass,
            },
            Self::OtherMetadata if key == b"annotations" => Self::OtherAnnotations,
            Self::Annotations => Self::Annotation,
            Self::Labels => Self::Label,
            Self::Data => Self::DataValue,
            Self::StringData => Self::PlainValue,
            Self::TokenHolder if key == b"token" => Self::PlainValue,
            Self::Details if key == b"causes" => Self::Causes,
            Self::Cause if key == b"message" => Self::Text,
            _ => Self::Pass,
        }
    }

    fn object_member(key: &[u8], nature: Nature) -> Self {
        match (nature, key) {
            (Nature::Secret, b"data") => Self::Data,
            (Nature::Secret, b"stringData") => Self::StringData,
            (Nature::Secret, b"metadata") => Self::Metadata,
            // A Status, also as a watch's ERROR event: its texts may quote the whole object.
            (Nature::Secret, b"message") => Self::Text,
            (Nature::Secret, b"details") => Self::Details,
            (Nature::Token, b"status" | b"spec") => Self::TokenHolder,
            (Nature::Looked, b"metadata") => Self::OtherMetadata,
            (_, b"binaryData") => Self::BinaryData,
            _ => Self::Pass,
        }
    }

    /// Whether a value that begins with this byte is of the type that the API has at this place. Secret values are strings
    /// or null; anything else might hold them where they are not looked for.
    pub(super) fn takes(self, byte: u8) -> bool {
        match self {
            Self::Pass => true,
            Self::Document => byte == b'{',
            Self::DataValue | Self::PlainValue | Self::Text | Self::Annotation | Self::Label | Self::Kind => {
                matches!(byte, b'"' | b'n')
            }
            Self::Items | Self::Rows | Self::Causes => matches!(byte, b'[' | b'n'),
            // The `status` of a Status is a word.
            Self::TokenHolder => matches!(byte, b'{' | b'n' | b'"'),
            _ => matches!(byte, b'{' | b'n'),
        }
    }

    /// Whether a member that comes before `kind` could be one that a Secret's masking looks at.
    pub(super) fn waits_for_kind(key: &[u8]) -> bool {
        matches!(key, b"data" | b"stringData" | b"metadata" | b"status" | b"spec")
    }

    /// The place of an array's elements.
    pub(super) fn element(self) -> Self {
        match self {
            Self::Items => Self::Object,
            Self::Rows => Self::Row,
            Self::Causes => Self::Cause,
            _ => Self::Pass,
        }
    }
}
