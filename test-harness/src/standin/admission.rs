//! What the API server does to an object before it is stored: checks its name and type, fills in what is left out.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use uuid::Uuid;

use super::resource::Resource;
use super::status::Failure;

/// Checks that the object is of this type and, where they say so, under this namespace and name; fills in all three.
pub(super) fn identify(
    resource: &Resource,
    namespace: &str,
    name: Option<&str>,
    object: &mut Value,
) -> Result<String, Failure> {
    if !object.is_object() {
        return Err(Failure::bad_request("the object provided is unrecognized: it is not an object"));
    }
    for (field, expected) in [("kind", resource.kind.to_owned()), ("apiVersion", resource.api_version())] {
        match object[field].as_str() {
            Some(said) if said != expected => {
                return Err(Failure::bad_request(format!(
                    "the {field} in the data ({said}) does not match the expected {field} ({expected})"
                )));
            }
            _ => object[field] = json!(expected),
        }
    }
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    let metadata = &mut object["metadata"];
    if resource.namespaced {
        match metadata["namespace"].as_str() {
            Some(said) if said != namespace => {
                return Err(Failure::bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request",
                ));
            }
            _ => metadata["namespace"] = json!(namespace),
        }
    }
    let said = metadata["name"].as_str().filter(|said| !said.is_empty()).map(ToString::to_string);
    let name = match (said, name, metadata["generateName"].as_str()) {
        (Some(said), Some(name), _) if said != name => {
            return Err(Failure::bad_request(format!(
                "the name of the object ({said}) does not match the name on the URL ({name})"
            )));
        }
        (_, Some(name), _) => name.to_owned(),
        (Some(said), None, _) => said,
        (None, None, Some(prefix)) => format!("{prefix}{}", &Uuid::new_v4().simple().to_string()[..5]),
        (None, None, None) => {
            let problem = "Required value: name or generateName is required";
            return Err(Failure::invalid(resource, "", "metadata.name", problem));
        }
    };
    let named = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    if !name.chars().all(|character| named(character) || "-.".contains(character))
        || !name.starts_with(named)
        || !name.ends_with(named)
    {
        let problem = format!(
            "Invalid value: {name:?}: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'"
        );
        return Err(Failure::invalid(resource, &name, "metadata.name", &problem));
    }
    metadata["name"] = json!(name);
    Ok(name)
}

/// Fills in what the type's defaults are, and checks what must hold for any object of it.
pub(super) fn complete(resource: &Resource, object: &mut Value) -> Result<(), Failure> {
    match resource.kind {
        "Secret" => {
            complete_secret(object)?;
            default(object, "/type", json!("Opaque"));
        }
        "Namespace" => {
            let name = object["metadata"]["name"].clone();
            object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name;
            default(object, "/spec", json!({"finalizers": ["kubernetes"]}));
            default(object, "/status", json!({"phase": "Active"}));
        }
        "Pod" => default(object, "/status", json!({"phase": "Pending", "qosClass": "BestEffort"})),
        "Service" => {
            default(object, "/spec/type", json!("ClusterIP"));
            default(object, "/status", json!({"loadBalancer": {}}));
        }
        _ if resource.has_status => default(object, "/status", json!({})),
        _ => {}
    }
    Ok(())
}

/// Checks that a stored object may become this one.
pub(super) fn may_become(resource: &Resource, old: &Value, new: &Value) -> Result<(), Failure> {
    let name = old["metadata"]["name"].as_str().unwrap_or_default();
    if let Some(said) = new["metadata"]["resourceVersion"].as_str().filter(|said| !said.is_empty())
        && old["metadata"]["resourceVersion"] != said
    {
        return Err(Failure::conflict(resource, name));
    }
    let immutable = |field: &str, shown: &str| {
        Failure::invalid(resource, name, field, &format!("Invalid value: {shown}: field is immutable"))
    };
    if resource.kind == "Secret" && old["type"] != new["type"] {
        return Err(immutable("type", &new["type"].to_string()));
    }
    if old["immutable"] == true && (old["data"] != new["data"] || new["immutable"] != true) {
        let problem = "Forbidden: field is immutable when `immutable` is set";
        return Err(Failure::invalid(resource, name, "data", problem));
    }
    Ok(())
}

/// `stringData` moves into `data`, whose values must be base64.
fn complete_secret(secret: &mut Value) -> Result<(), Failure> {
    let plain = secret.as_object_mut().and_then(|secret| secret.remove("stringData"));
    if let Some(Value::Object(plain)) = plain {
        for (key, value) in plain {
            let Value::String(value) = value else {
                return Err(Failure::bad_request(
                    "Secret in version \"v1\" cannot be handled as a Secret: stringData holds strings",
                ));
            };
            secret["data"][key] = json!(STANDARD.encode(value));
        }
    }
    let values = secret["data"].as_object().into_iter().flatten();
    for (_, value) in values.filter(|(_, value)| !value.is_null()) {
        if value.as_str().is_none_or(|value| STANDARD.decode(value).is_err()) {
            return Err(Failure::bad_request(
                "Secret in version \"v1\" cannot be handled as a Secret: illegal base64 data at input byte 0",
            ));
        }
    }
    Ok(())
}

/// Sets what is at this pointer (of object keys) where nothing is.
fn default(object: &mut Value, pointer: &str, value: Value) {
    let mut place = object;
    for key in pointer.split('/').skip(1) {
        place = &mut place[key];
    }
    if place.is_null() {
        *place = value;
    }
}

#[cfg(test)]
mod tests {
    use super::super::resource::resource;
    use super::*;

    #[test]
    fn secrets_are_completed_as_the_api_server_does_it() {
        let secrets = resource("", "secrets").expect("a type");
        for (case, secret, expected) in [
            ("nothing said", json!({}), Some(json!({"type": "Opaque"}))),
            (
                "plain over encoded",
                json!({"data": {"a": "eA==", "b": "eA=="}, "stringData": {"a": "y"}}),
                Some(json!({"type": "Opaque", "data": {"a": "eQ==", "b": "eA=="}})),
            ),
            ("not base64", json!({"data": {"a": "!!"}}), None),
            ("not a string", json!({"data": {"a": 1}}), None),
        ] {
            let mut secret = secret;
            let completed = complete(secrets, &mut secret).ok().map(|()| secret);
            // Looking into an absent map leaves a null; absent and null mean the same.
            let completed = completed.map(|mut secret| {
                secret.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
                secret
            });
            assert_eq!(completed, expected, "{case}");
        }
    }

    #[test]
    fn names_come_from_the_path_the_object_or_a_prefix() {
        let secrets = resource("", "secrets").expect("a type");
        for (case, name, metadata, expected) in [
            ("in the object", None, json!({"name": "a"}), Some("a")),
            ("in the path", Some("a"), json!({}), Some("a")),
            ("in both", Some("a"), json!({"name": "b"}), None),
            ("nowhere", None, json!({}), None),
            ("made up", None, json!({"generateName": "a-"}), Some("a-")),
            ("not a name", None, json!({"name": "A_b"}), None),
            ("elsewhere", None, json!({"name": "a", "namespace": "other"}), None),
        ] {
            let mut object = json!({"metadata": metadata});
            let named = identify(secrets, "shop", name, &mut object).ok();
            let agrees = match (&named, expected) {
                (Some(named), Some(expected)) => named.starts_with(expected),
                (named, expected) => named.is_none() && expected.is_none(),
            };
            assert!(agrees, "{case}: {named:?}");
        }
    }
}
