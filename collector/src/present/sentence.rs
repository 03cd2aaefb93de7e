//! A request as a person would say it: `read Secret db in shop`, `REFUSED delete namespace payments`.

use super::sanitize::line;
use crate::store::model::ExchangeSummary;
use chaperone_record::{ObjectRef, Requested};

/// Kubernetes' own resources: plural, kind, namespaced.
const KINDS: [(&str, &str, bool); 46] = [
    ("bindings", "Binding", true),
    ("certificatesigningrequests", "CertificateSigningRequest", false),
    ("clusterrolebindings", "ClusterRoleBinding", false),
    ("clusterroles", "ClusterRole", false),
    ("configmaps", "ConfigMap", true),
    ("controllerrevisions", "ControllerRevision", true),
    ("cronjobs", "CronJob", true),
    ("csidrivers", "CSIDriver", false),
    ("csinodes", "CSINode", false),
    ("csistoragecapacities", "CSIStorageCapacity", true),
    ("customresourcedefinitions", "CustomResourceDefinition", false),
    ("daemonsets", "DaemonSet", true),
    ("deployments", "Deployment", true),
    ("endpoints", "Endpoints", true),
    ("endpointslices", "EndpointSlice", true),
    ("events", "Event", true),
    ("horizontalpodautoscalers", "HorizontalPodAutoscaler", true),
    ("ingressclasses", "IngressClass", false),
    ("ingresses", "Ingress", true),
    ("jobs", "Job", true),
    ("leases", "Lease", true),
    ("limitranges", "LimitRange", true),
    ("localsubjectaccessreviews", "LocalSubjectAccessReview", true),
    ("mutatingwebhookconfigurations", "MutatingWebhookConfiguration", false),
    ("namespaces", "namespace", false),
    ("networkpolicies", "NetworkPolicy", true),
    ("nodes", "node", false),
    ("persistentvolumeclaims", "PersistentVolumeClaim", true),
    ("persistentvolumes", "PersistentVolume", false),
    ("poddisruptionbudgets", "PodDisruptionBudget", true),
    ("pods", "pod", true),
    ("podtemplates", "PodTemplate", true),
    ("priorityclasses", "PriorityClass", false),
    ("replicasets", "ReplicaSet", true),
    ("replicationcontrollers", "ReplicationController", true),
    ("resourcequotas", "ResourceQuota", true),
    ("rolebindings", "RoleBinding", true),
    ("roles", "Role", true),
    ("secrets", "Secret", true),
    ("selfsubjectaccessreviews", "SelfSubjectAccessReview", false),
    ("selfsubjectreviews", "SelfSubjectReview", false),
    ("serviceaccounts", "ServiceAccount", true),
    ("services", "Service", true),
    ("statefulsets", "StatefulSet", true),
    ("storageclasses", "StorageClass", false),
    ("validatingwebhookconfigurations", "ValidatingWebhookConfiguration", false),
];

/// Paths that clients read to learn what the API server can do.
const DISCOVERY: [&str; 7] = ["/api", "/apis", "/openapi", "/version", "/healthz", "/livez", "/readyz"];

/// How a thing done is told: `deleted`, or where it was refused: `delete`.
#[derive(Clone, Copy)]
enum Tense {
    Done,
    Asked,
}

/// The exchange as a sentence, safe to print. What was refused begins with `REFUSED`.
pub fn sentence(exchange: &ExchangeSummary) -> String {
    let Some(head) = &exchange.requested else {
        return "a response whose request is not in the records".into();
    };
    let refused = exchange.is_refused();
    let text =
        action(head, exchange.object_name.as_deref(), if refused { Tense::Asked } else { Tense::Done });
    if refused { format!("REFUSED {text}") } else { text }
}

/// True for the requests with which a client learns the API: they say nothing about what was done.
pub fn is_discovery(exchange: &ExchangeSummary) -> bool {
    exchange.requested.as_ref().is_some_and(|head| {
        let path = head.request_uri.split('?').next().unwrap_or("");
        let known =
            |prefix: &str| path.strip_prefix(prefix).is_some_and(|p| p.is_empty() || p.starts_with('/'));
        head.object_ref.is_none()
            && matches!(head.method.as_str(), "GET" | "HEAD")
            && DISCOVERY.iter().any(|prefix| known(prefix))
            && !exchange.is_refused()
            && !exchange.is_failed()
            && exchange.masked.is_empty()
    })
}

fn action(head: &Requested, body_name: Option<&str>, tense: Tense) -> String {
    let Some(object) = &head.object_ref else {
        return format!("{} {}", line(&head.method), line(&head.request_uri));
    };
    let done = |past: &str, infinitive: &str| match tense {
        Tense::Done => past.to_owned(),
        Tense::Asked => infinitive.to_owned(),
    };
    let name = if object.name.is_empty() { body_name.unwrap_or("") } else { &object.name };
    let (one, many) = (one(object, name), many(object));
    let mut text = match (head.verb.as_str(), object.subresource.as_str()) {
        (_, "exec") => {
            format!("{} in {one}", done(&format!("ran {}", command(head)), &format!("run {}", command(head))))
        }
        (_, "attach") => format!("{} to {one}", done("attached", "attach")),
        (_, "portforward") => format!("{} ports to {one}", done("forwarded", "forward")),
        (_, "proxy") => format!("{} {one} through the API server's proxy", done("called", "call")),
        ("get", "log") => format!("{} the log of {one}", done("read", "read")),
        ("create", "token") => format!("{} a token for {one}", done("created", "create")),
        ("create", "eviction") => format!("{} {one}", done("evicted", "evict")),
        ("create", "binding") => format!("{} {one} to a node", done("bound", "bind")),
        (verb, "") => match verb {
            "get" => format!("{} {one}", done("read", "read")),
            "list" => format!("{} {many}", done("listed", "list")),
            "watch" => format!("{} {}", done("watched", "watch"), if name.is_empty() { &many } else { &one }),
            "create" => format!("{} {one}", done("created", "create")),
            "update" => format!("{} {one}", done("replaced", "replace")),
            "patch" => format!("{} {one}", done("patched", "patch")),
            "delete" => format!("{} {one}", done("deleted", "delete")),
            "deletecollection" => format!("{} all {many}", done("deleted", "delete")),
            verb => format!("{} {one}", line(verb)),
        },
        (verb, subresource) => {
            let verb = match verb {
                "get" => done("read", "read"),
                "update" => done("replaced", "replace"),
                "patch" => done("patched", "patch"),
                "create" => done("created", "create"),
                "delete" => done("deleted", "delete"),
                verb => line(verb).into_owned(),
            };
            format!("{verb} {} of {one}", line(subresource))
        }
    };
    if let Some(selector) = parameter(head, "labelSelector").filter(|s| !s.is_empty()) {
        text.push_str(&format!(" with {}", line(&selector)));
    }
    if parameter(head, "dryRun").is_some_and(|value| value == "All") {
        text.push_str(" (dry run)");
    }
    text
}

fn one(object: &ObjectRef, name: &str) -> String {
    let kind = match known(object) {
        Some((_, kind, _)) => (*kind).to_owned(),
        None => resource(object),
    };
    let name = if name.is_empty() { "of unknown name".into() } else { line(name) };
    let place = if object.namespace.is_empty() || object.resource == "namespaces" {
        String::new()
    } else {
        format!(" in {}", line(&object.namespace))
    };
    format!("{kind} {name}{place}")
}

fn many(object: &ObjectRef) -> String {
    let place = match (object.namespace.as_str(), known(object)) {
        ("", Some((_, _, true))) => " in all namespaces".into(),
        ("", _) => String::new(),
        (namespace, _) => format!(" in {}", line(namespace)),
    };
    // A list or watch of one object is written with a field selector; the name tells which.
    let which = if object.name.is_empty() { String::new() } else { format!(" named {}", line(&object.name)) };
    format!("{}{which}{place}", resource(object))
}

/// The plural as the API has it, with its group unless the group is Kubernetes' own.
fn resource(object: &ObjectRef) -> String {
    match (known(object), object.api_group.as_str()) {
        (Some(_), _) | (None, "") => line(&object.resource).into_owned(),
        (None, group) => format!("{}.{}", line(&object.resource), line(group)),
    }
}

fn known(object: &ObjectRef) -> Option<&'static (&'static str, &'static str, bool)> {
    let group = object.api_group.as_str();
    let own = !group.contains('.') || group.ends_with(".k8s.io");
    KINDS.iter().find(|(plural, ..)| own && *plural == object.resource)
}

/// An exec's command as typed, from its `command` parameters.
fn command(head: &Requested) -> String {
    let words = parameters(head).filter(|(name, _)| name == "command").map(|(_, word)| word);
    let words: Vec<String> =
        words.map(|word| if word.contains(' ') { format!("'{word}'") } else { word }).collect();
    if words.is_empty() { "a command".into() } else { format!("`{}`", line(&words.join(" "))) }
}

fn parameter(head: &Requested, name: &str) -> Option<String> {
    parameters(head).find(|(n, _)| n == name).map(|(_, value)| value)
}

pub(crate) fn parameters(head: &Requested) -> impl Iterator<Item = (String, String)> {
    let query = head.request_uri.split_once('?').map_or("", |(_, query)| query);
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

/// `application/x-www-form-urlencoded`: `+` and `%XX`; what is no UTF-8 becomes U+FFFD.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |c: &u8| char::from(*c).to_digit(16).and_then(|d| u8::try_from(d).ok());
        match (first, tail) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [a, b, after @ ..]) if hex(a).is_some() && hex(b).is_some() => {
                bytes.push(hex(a).unwrap_or(0) << 4 | hex(b).unwrap_or(0));
                rest = after;
                continue;
            }
            (byte, _) => bytes.push(*byte),
        }
        rest = tail;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chaperone_record::Timestamp;
    use serde_json::json;

    fn exchange(verb: &str, uri: &str, object: serde_json::Value, allowed: bool) -> ExchangeSummary {
        let mut row = ExchangeSummary::new("e", "r", Timestamp::from_micros(0));
        row.requested = Some(
            serde_json::from_value(
                json!({"attribution": {}, "method": "GET", "requestURI": uri, "verb": verb,
                "objectRef": object, "decision": {"allowed": allowed, "rule": "x"}}),
            )
            .unwrap(),
        );
        row
    }

    #[test]
    fn requests_are_told_in_words() {
        let object = |group: &str, resource: &str, subresource: &str, namespace: &str, name: &str| json!({"apiGroup": group, "resource": resource, "subresource": subresource, "namespace": namespace, "name": name});
        for (verb, uri, object, text) in [
            ("get", "/", object("", "secrets", "", "shop", "db"), "read Secret db in shop"),
            ("list", "/", object("", "pods", "", "shop", ""), "listed pods in shop"),
            (
                "list",
                "/?labelSelector=app%3Dweb",
                object("", "pods", "", "", ""),
                "listed pods in all namespaces with app=web",
            ),
            ("list", "/", object("", "namespaces", "", "", ""), "listed namespaces"),
            ("watch", "/", object("apps", "deployments", "", "shop", ""), "watched deployments in shop"),
            (
                "delete",
                "/",
                object("", "namespaces", "", "payments", "payments"),
                "deleted namespace payments",
            ),
            (
                "patch",
                "/?dryRun=All",
                object("", "configmaps", "", "y", "x"),
                "patched ConfigMap x in y (dry run)",
            ),
            ("deletecollection", "/", object("", "pods", "", "shop", ""), "deleted all pods in shop"),
            ("get", "/", object("", "pods", "log", "shop", "web"), "read the log of pod web in shop"),
            (
                "create",
                "/?command=sh&command=-c&command=echo+%24HOME",
                object("", "pods", "exec", "shop", "web"),
                "ran `sh -c 'echo $HOME'` in pod web in shop",
            ),
            (
                "create",
                "/",
                object("", "serviceaccounts", "token", "shop", "bob"),
                "created a token for ServiceAccount bob in shop",
            ),
            (
                "patch",
                "/",
                object("apps", "deployments", "scale", "shop", "web"),
                "patched scale of Deployment web in shop",
            ),
            (
                "get",
                "/",
                object("example.com", "widgets", "", "shop", "w"),
                "read widgets.example.com w in shop",
            ),
            ("get", "/", object("evil.com", "secrets", "", "shop", "w"), "read secrets.evil.com w in shop"),
            (
                "get",
                "/",
                object("", "secrets", "", "shop\u{1b}[2J", "d\u{202e}b"),
                "read Secret d\\u202eb in shop\\u001b[2J",
            ),
        ] {
            assert_eq!(sentence(&exchange(verb, uri, object, true)), text);
        }
        let refused = exchange("delete", "/", object("", "namespaces", "", "", "payments"), false);
        assert_eq!(sentence(&refused), "REFUSED delete namespace payments");
        let mut created = exchange("create", "/", object("", "configmaps", "", "shop", ""), true);
        created.object_name = Some("settings".into());
        assert_eq!(sentence(&created), "created ConfigMap settings in shop");
    }

    #[test]
    fn discovery_is_only_what_asks_about_the_api() {
        for (uri, discovery) in [
            ("/api", true),
            ("/apis/apps/v1?timeout=32s", true),
            ("/openapi/v3", true),
            ("/version", true),
            ("/apix", false),
            ("/metrics", false),
        ] {
            assert_eq!(is_discovery(&exchange("get", uri, json!(null), true)), discovery, "{uri}");
            assert!(!is_discovery(&exchange("get", uri, json!(null), false)), "{uri}, refused");
        }
        assert!(!is_discovery(&exchange("get", "/api/v1/pods", json!({"resource": "pods"}), true)));
    }
}
