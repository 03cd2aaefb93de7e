//! What a client asks before it asks for anything: groups, resource types, version, health, schemas.
//!
//! Schemas say only what kubectl looks for: that a kind exists, and that its writes may be validated by the server.

use serde_json::{Map, Value, json};

use super::resource::{RESOURCES, Resource};

const WRITABLE: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// A discovery document for this path, if it is one.
pub(super) fn document(path: &str) -> Option<Value> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts.as_slice() {
        ["version"] => Some(version()),
        ["api"] => Some(json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})),
        ["apis"] => {
            let groups: Vec<Value> = groups().into_iter().map(group).collect();
            Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
        }
        ["apis", name] => {
            let mut found = groups().into_iter().find(|group| group == name).map(group)?;
            found["kind"] = json!("APIGroup");
            found["apiVersion"] = json!("v1");
            Some(found)
        }
        ["api", _] | ["apis", _, _] => resources(&format!("/{}", parts.join("/"))),
        ["openapi", "v3"] => {
            let paths = roots().into_iter().map(|root| {
                let relative = json!({"serverRelativeURL": format!("/openapi/v3{root}?hash=0")});
                (root.trim_start_matches('/').to_owned(), relative)
            });
            Some(json!({"paths": paths.collect::<Map<_, _>>()}))
        }
        ["openapi", "v3", root @ ..] => schemas(&format!("/{}", root.join("/"))),
        ["openapi", "v2"] => Some(json!({
            "swagger": "2.0", "info": {"title": "Kubernetes", "version": version()["gitVersion"]},
            "paths": {}, "definitions": {},
        })),
        _ => None,
    }
}

/// The same empty `/openapi/v2`, as `application/com.github.proto-openapi.spec.v2.v1.0+protobuf`: all that kubectl reads.
/// Fields of gnostic's `openapi_v2.Document`: 1 swagger, 2 info{1 title, 2 version}, 8 paths, 9 definitions.
pub(super) const OPENAPI_V2_PROTOBUF: &[u8] =
    b"\x0a\x032.0\x12\x15\x0a\x0aKubernetes\x12\x07v1.37.0\x42\x00\x4a\x00";

/// Whether the path is one of the probes, which answer a word.
pub(super) fn is_probe(path: &str) -> bool {
    matches!(path.split('/').nth(1), Some("healthz" | "livez" | "readyz"))
}

/// Whether anybody may ask this, as the API server's default roles have it.
pub(super) fn is_public(path: &str) -> bool {
    path == "/version" || is_probe(path)
}

fn version() -> Value {
    json!({
        "major": "1", "minor": "37", "gitVersion": "v1.37.0", "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "", "platform": "stand-in",
    })
}

/// Groups whose resource types hold no objects: questions that are answered on the spot.
const REVIEWS: &[(&str, &str, &str)] = &[
    ("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview"),
    ("authentication.k8s.io", "tokenreviews", "TokenReview"),
    ("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
];

fn groups() -> Vec<&'static str> {
    let named = RESOURCES.iter().map(|resource| resource.group).chain(REVIEWS.iter().map(|review| review.0));
    let mut groups: Vec<_> = named.filter(|group| !group.is_empty()).collect();
    groups.sort_unstable();
    groups.dedup();
    groups
}

fn group(name: &str) -> Value {
    let version = json!({"groupVersion": format!("{name}/v1"), "version": "v1"});
    json!({"name": name, "versions": [version], "preferredVersion": version})
}

fn roots() -> Vec<String> {
    let mut roots = vec!["/api/v1".to_owned()];
    roots.extend(groups().into_iter().map(|group| format!("/apis/{group}/v1")));
    roots
}

fn of_root(root: &str) -> impl Iterator<Item = &'static Resource> {
    RESOURCES.iter().filter(move |resource| resource.root() == root)
}

fn resources(root: &str) -> Option<Value> {
    if !roots().iter().any(|known| known == root) {
        return None;
    }
    let mut listed = Vec::new();
    for resource in of_root(root) {
        let mut entry = json!({
            "name": resource.plural, "singularName": resource.kind.to_lowercase(), "kind": resource.kind,
            "namespaced": resource.namespaced, "verbs": WRITABLE,
        });
        if !resource.short_names.is_empty() {
            entry["shortNames"] = json!(resource.short_names);
        }
        if resource.in_all {
            entry["categories"] = json!(["all"]);
        }
        listed.push(entry);
        if resource.has_status {
            listed.push(json!({
                "name": format!("{}/status", resource.plural), "singularName": "", "kind": resource.kind,
                "namespaced": resource.namespaced, "verbs": ["get", "patch", "update"],
            }));
        }
        if resource.kind == "Pod" {
            listed.push(json!({
                "name": "pods/log", "singularName": "", "kind": "Pod", "namespaced": true, "verbs": ["get"],
            }));
        }
    }
    for (group, plural, kind) in REVIEWS.iter().filter(|review| root == format!("/apis/{}/v1", review.0)) {
        listed.push(json!({
            "name": plural, "singularName": kind.to_lowercase(), "kind": kind, "namespaced": false,
            "group": group, "version": "v1", "verbs": ["create"],
        }));
    }
    let group_version = root.trim_start_matches("/apis/").trim_start_matches("/api/");
    Some(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": listed,
    }))
}

/// The OpenAPI v3 document of a group and version.
fn schemas(root: &str) -> Option<Value> {
    if !roots().iter().any(|known| known == root) {
        return None;
    }
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for resource in of_root(root) {
        let kind = json!({"group": resource.group, "version": resource.version, "kind": resource.kind});
        let scope = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
        let parameter = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string"}});
        let operation = json!({
            "parameters": [parameter("dryRun"), parameter("fieldManager"), parameter("fieldValidation")],
            "x-kubernetes-group-version-kind": kind,
            "responses": {"200": {"description": "OK"}},
        });
        let path = format!("{root}{scope}/{}", resource.plural);
        paths.insert(format!("{path}/{{name}}"), json!({"patch": operation, "put": operation}));
        paths.insert(path, json!({"post": operation}));
        let id = format!("io.k8s.api.{}.{}.{}", resource.group, resource.version, resource.kind);
        let schema = json!({
            "type": "object", "x-kubernetes-group-version-kind": [kind],
            "x-kubernetes-preserve-unknown-fields": true,
        });
        schemas.insert(id, schema);
    }
    Some(json!({
        "openapi": "3.0.0", "info": {"title": "Kubernetes", "version": version()["gitVersion"]},
        "paths": paths, "components": {"schemas": schemas},
    }))
}
