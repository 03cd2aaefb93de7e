//! Request bodies in protobuf: kubectl sends them from its typed commands since 1.32 and does not fall back.
//!
//! Only what those commands send is read: `create` of small objects, and reviews. Answers are JSON, which every client takes too.
//! The messages follow `k8s.io/api/core/v1/generated.proto` and `k8s.io/apimachinery`'s `meta/v1` and `runtime`.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::{DecodeError, Message};
use serde_json::{Value, json};

use super::status::Failure;

/// The media type.
pub(super) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What every Kubernetes protobuf document begins with.
const MAGIC: &[u8] = b"k8s\0";

/// `runtime.Unknown`: the envelope.
#[derive(Message)]
struct Unknown {
    #[prost(message, optional, tag = "1")]
    type_meta: Option<TypeMeta>,
    #[prost(bytes = "vec", tag = "2")]
    raw: Vec<u8>,
}

#[derive(Message)]
struct TypeMeta {
    #[prost(string, tag = "1")]
    api_version: String,
    #[prost(string, tag = "2")]
    kind: String,
}

#[derive(Message)]
struct ObjectMeta {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    generate_name: String,
    #[prost(string, tag = "3")]
    namespace: String,
    #[prost(btree_map = "string, string", tag = "11")]
    labels: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "12")]
    annotations: BTreeMap<String, String>,
}

#[derive(Message)]
struct Secret {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ObjectMeta>,
    #[prost(btree_map = "string, bytes", tag = "2")]
    data: BTreeMap<String, Vec<u8>>,
    #[prost(string, tag = "3")]
    r#type: String,
    #[prost(btree_map = "string, string", tag = "4")]
    string_data: BTreeMap<String, String>,
    #[prost(bool, optional, tag = "5")]
    immutable: Option<bool>,
}

#[derive(Message)]
struct ConfigMap {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ObjectMeta>,
    #[prost(btree_map = "string, string", tag = "2")]
    data: BTreeMap<String, String>,
    #[prost(btree_map = "string, bytes", tag = "3")]
    binary_data: BTreeMap<String, Vec<u8>>,
    #[prost(bool, optional, tag = "4")]
    immutable: Option<bool>,
}

/// Any kind of which only the metadata is wanted.
#[derive(Message)]
struct Named {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ObjectMeta>,
}

/// The document as the JSON it stands for.
pub(super) fn decode(body: &[u8]) -> Result<Value, Failure> {
    let envelope = body.strip_prefix(MAGIC).map(Unknown::decode);
    let Some(Ok(Unknown { type_meta: Some(types), raw })) = envelope else {
        return Err(Failure::bad_request(
            "the object provided is unrecognized: not a Kubernetes protobuf document",
        ));
    };
    let mut object = read(&types.kind, &raw)
        .ok_or_else(|| Failure::unsupported_media_type(&["application/json", "application/yaml"]))?
        .map_err(|error| Failure::bad_request(format!("the object provided is unrecognized: {error}")))?;
    object["apiVersion"] = json!(types.api_version);
    object["kind"] = json!(types.kind);
    strip_empty(&mut object);
    Ok(object)
}

/// None for a kind that is not read here.
fn read(kind: &str, raw: &[u8]) -> Option<Result<Value, DecodeError>> {
    let read = match kind {
        "Secret" => Secret::decode(raw).map(|secret| {
            json!({
                "metadata": metadata(secret.metadata), "data": encoded(secret.data), "type": secret.r#type,
                "stringData": secret.string_data, "immutable": secret.immutable,
            })
        }),
        "ConfigMap" => ConfigMap::decode(raw).map(|map| {
            json!({
                "metadata": metadata(map.metadata), "data": map.data, "binaryData": encoded(map.binary_data),
                "immutable": map.immutable,
            })
        }),
        "Namespace" | "ServiceAccount" | "SelfSubjectAccessReview" | "SelfSubjectReview" => {
            Named::decode(raw).map(|named| json!({"metadata": metadata(named.metadata)}))
        }
        _ => return None,
    };
    Some(read)
}

fn metadata(metadata: Option<ObjectMeta>) -> Value {
    let metadata = metadata.unwrap_or_default();
    let mut object = json!({
        "name": metadata.name, "generateName": metadata.generate_name, "namespace": metadata.namespace,
        "labels": metadata.labels, "annotations": metadata.annotations,
    });
    strip_empty(&mut object);
    object
}

fn encoded(values: BTreeMap<String, Vec<u8>>) -> BTreeMap<String, String> {
    values.into_iter().map(|(key, value)| (key, STANDARD.encode(value))).collect()
}

/// In protobuf what is empty was not said; `metadata` stays.
fn strip_empty(object: &mut Value) {
    let empty = |value: &Value| value.is_null() || *value == json!("") || *value == json!({});
    if let Some(object) = object.as_object_mut() {
        object.retain(|name, value| name == "metadata" || !empty(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(kind: &str, raw: Vec<u8>) -> Vec<u8> {
        let type_meta = Some(TypeMeta { api_version: "v1".to_owned(), kind: kind.to_owned() });
        [MAGIC, &Unknown { type_meta, raw }.encode_to_vec()].concat()
    }

    #[test]
    fn documents_are_read_as_the_json_they_stand_for() {
        let metadata = || Some(ObjectMeta { name: "a".to_owned(), ..ObjectMeta::default() });
        let secret = Secret {
            metadata: metadata(),
            data: BTreeMap::from([("k".to_owned(), b"\xff".to_vec())]),
            ..Secret::default()
        };
        let secret_read =
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {"k": "/w=="}});
        let namespace = Named { metadata: metadata() };
        let namespace_read = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}});
        for (case, body, expected) in [
            ("a secret", document("Secret", secret.encode_to_vec()), Ok(secret_read)),
            ("a namespace", document("Namespace", namespace.encode_to_vec()), Ok(namespace_read)),
            ("a kind not read here", document("Pod", namespace.encode_to_vec()), Err(415)),
            ("no document", b"k8s\0\xff".to_vec(), Err(400)),
            ("JSON", b"{}".to_vec(), Err(400)),
        ] {
            assert_eq!(decode(&body).map_err(|failure| failure.code), expected, "{case}");
        }
    }
}
