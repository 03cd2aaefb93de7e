//! Discovery for clients, where the record has only its metadata, as it has by default: Kubernetes' own resources and
//! those of the record, and that the server validates fields. No schemas: `kubectl explain` has nothing to say.

use crate::store::model::ExchangeDetail;
use chaperone_record::{ObjectRef, Requested};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Group and version, and its resources: plural, kind, short names. Those of a cluster have a `*`.
#[rustfmt::skip]
const OWN: &[(&str, &str, &[&str])] = &[
    ("", "v1", &["bindings Binding", "configmaps ConfigMap cm", "endpoints Endpoints ep", "events Event ev",
        "limitranges LimitRange limits", "namespaces* Namespace ns", "nodes* Node no",
        "persistentvolumeclaims PersistentVolumeClaim pvc", "persistentvolumes* PersistentVolume pv", "pods Pod po",
        "podtemplates PodTemplate", "replicationcontrollers ReplicationController rc",
        "resourcequotas ResourceQuota quota", "secrets Secret", "serviceaccounts ServiceAccount sa",
        "services Service svc"]),
    ("admissionregistration.k8s.io", "v1", &["mutatingwebhookconfigurations* MutatingWebhookConfiguration",
        "validatingwebhookconfigurations* ValidatingWebhookConfiguration"]),
    ("apiextensions.k8s.io", "v1", &["customresourcedefinitions* CustomResourceDefinition crd crds"]),
    ("apps", "v1", &["controllerrevisions ControllerRevision", "daemonsets DaemonSet ds",
        "deployments Deployment deploy", "replicasets ReplicaSet rs", "statefulsets StatefulSet sts"]),
    ("authentication.k8s.io", "v1", &["selfsubjectreviews* SelfSubjectReview", "tokenreviews* TokenReview"]),
    ("authorization.k8s.io", "v1", &["localsubjectaccessreviews LocalSubjectAccessReview",
        "selfsubjectaccessreviews* SelfSubjectAccessReview", "selfsubjectrulesreviews* SelfSubjectRulesReview",
        "subjectaccessreviews* SubjectAccessReview"]),
    ("autoscaling", "v2", &["horizontalpodautoscalers HorizontalPodAutoscaler hpa"]),
    ("batch", "v1", &["cronjobs CronJob cj", "jobs Job"]),
    ("certificates.k8s.io", "v1", &["certificatesigningrequests* CertificateSigningRequest csr"]),
    ("coordination.k8s.io", "v1", &["leases Lease"]),
    ("discovery.k8s.io", "v1", &["endpointslices EndpointSlice"]),
    ("events.k8s.io", "v1", &["events Event ev"]),
    ("networking.k8s.io", "v1", &["ingressclasses* IngressClass", "ingresses Ingress ing",
        "networkpolicies NetworkPolicy netpol"]),
    ("policy", "v1", &["poddisruptionbudgets PodDisruptionBudget pdb"]),
    ("rbac.authorization.k8s.io", "v1", &["clusterrolebindings* ClusterRoleBinding", "clusterroles* ClusterRole",
        "rolebindings RoleBinding", "roles Role"]),
    ("scheduling.k8s.io", "v1", &["priorityclasses* PriorityClass pc"]),
    ("storage.k8s.io", "v1", &["csidrivers* CSIDriver", "csinodes* CSINode", "storageclasses* StorageClass sc"]),
];

/// What a resource may be asked; the record says what was.
const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// The subresources that clients look for before they use them.
const SUBRESOURCES: [&str; 3] = ["status", "scale", "log"];

struct Kind {
    kind: String,
    namespaced: bool,
    short: Vec<&'static str>,
}

/// The API as far as it is known.
pub(super) struct Discovery {
    /// By group, version and plural.
    kinds: BTreeMap<(String, String), BTreeMap<String, Kind>>,
    /// The versions that were asked for: they are preferred.
    asked: BTreeMap<String, String>,
    recorded: bool,
    metadata_only: bool,
}

impl Default for Discovery {
    fn default() -> Self {
        let mut kinds = BTreeMap::<_, BTreeMap<_, _>>::new();
        for (group, version, resources) in OWN {
            let known = kinds.entry(((*group).to_owned(), (*version).to_owned())).or_default();
            for resource in *resources {
                let mut words = resource.split(' ');
                let plural = words.next().unwrap_or_default();
                let kind = words.next().unwrap_or_default().to_owned();
                let namespaced = !plural.ends_with('*');
                let plural = plural.trim_end_matches('*').to_owned();
                known.insert(plural, Kind { kind, namespaced, short: words.collect() });
            }
        }
        Self { kinds, asked: BTreeMap::new(), recorded: false, metadata_only: false }
    }
}

impl Discovery {
    /// Takes up the resource that a recorded request is about.
    pub(super) fn learn(&mut self, head: &Requested, detail: &ExchangeDetail) {
        let Some(object) = head.object_ref.as_ref().filter(|object| !object.resource.is_empty()) else {
            return;
        };
        self.asked.entry(object.api_group.clone()).or_insert_with(|| object.api_version.clone());
        let kinds = self.kinds.entry((object.api_group.clone(), object.api_version.clone())).or_default();
        let told = kind_of(object, detail);
        let known = kinds.entry(object.resource.clone()).or_insert_with(|| Kind {
            kind: told.clone().unwrap_or_else(|| likely(&object.resource)),
            namespaced: false,
            short: Vec::new(),
        });
        known.namespaced |= !object.namespace.is_empty() && object.resource != "namespaces";
        if let Some(kind) = told {
            known.kind = kind;
        }
    }

    /// Remembers whether discovery was recorded with its bodies.
    pub(super) fn was_recorded(&mut self, with_body: bool) {
        self.recorded |= with_body;
        self.metadata_only |= !with_body;
    }

    /// True where nothing has to be made up.
    pub(super) fn is_recorded(&self) -> bool {
        self.recorded && !self.metadata_only
    }

    /// The document at a path, if it is one that is known.
    pub(super) fn answer(&self, path: &str) -> Option<Value> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        match parts.as_slice() {
            ["version"] => Some(json!({
                "major": "1", "minor": "34", "gitVersion": "v1.34.0", "gitCommit": "", "gitTreeState": "clean",
                "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "", "platform": "chaperone replay",
            })),
            ["api"] => {
                Some(json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}))
            }
            ["apis"] => {
                let groups: Vec<Value> = self.groups().into_iter().map(|group| self.group(group)).collect();
                Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
            }
            ["apis", name] => {
                let mut group = self.groups().contains(name).then(|| self.group(name))?;
                group["kind"] = json!("APIGroup");
                group["apiVersion"] = json!("v1");
                Some(group)
            }
            ["api", version] => self.resources("", version),
            ["apis", group, version] => self.resources(group, version),
            ["openapi", "v3"] => {
                let paths = self.kinds.keys().map(|(group, version)| {
                    let root = root(group, version);
                    (root.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{root}?hash=0")}))
                });
                Some(json!({"paths": paths.collect::<Map<_, _>>()}))
            }
            ["openapi", "v3", "api", version] => self.schemas("", version),
            ["openapi", "v3", "apis", group, version] => self.schemas(group, version),
            _ => None,
        }
    }

    fn groups(&self) -> Vec<&str> {
        let mut groups: Vec<&str> = self.kinds.keys().map(|(group, _)| group.as_str()).collect();
        groups.retain(|group| !group.is_empty());
        groups.dedup();
        groups
    }

    fn group(&self, name: &str) -> Value {
        let of = |version: &str| json!({"groupVersion": format!("{name}/{version}"), "version": version});
        let versions =
            self.kinds.keys().filter(|(group, _)| group == name).map(|(_, version)| version.as_str());
        let mut versions: Vec<&str> = versions.collect();
        let asked = self.asked.get(name).map(String::as_str);
        versions.sort_by_key(|version| Some(*version) != asked);
        let listed: Vec<Value> = versions.iter().map(|version| of(version)).collect();
        json!({"name": name, "versions": listed, "preferredVersion": listed.first()})
    }

    fn resources(&self, group: &str, version: &str) -> Option<Value> {
        let mut listed = Vec::new();
        for (plural, Kind { kind, namespaced, short }) in self.of(group, version)? {
            let singular = kind.to_lowercase();
            listed.push(
                json!({"name": plural, "singularName": singular, "kind": kind, "namespaced": namespaced,
                "verbs": VERBS, "shortNames": short}),
            );
            for subresource in SUBRESOURCES {
                listed.push(
                    json!({"name": format!("{plural}/{subresource}"), "singularName": "", "kind": kind,
                    "namespaced": namespaced, "verbs": ["get", "patch", "update"]}),
                );
            }
        }
        let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        Some(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version,
            "resources": listed}))
    }

    /// Says that each kind exists, and that the server validates its fields: all that kubectl reads before it writes.
    fn schemas(&self, group: &str, version: &str) -> Option<Value> {
        let (mut paths, mut schemas) = (Map::new(), Map::new());
        let root = root(group, version);
        for (plural, Kind { kind, namespaced, .. }) in self.of(group, version)? {
            let gvk = json!({"group": group, "version": version, "kind": kind});
            let parameter = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string"}});
            let operation = json!({
                "parameters": [parameter("dryRun"), parameter("fieldManager"), parameter("fieldValidation")],
                "x-kubernetes-group-version-kind": gvk,
                "responses": {"200": {"description": "OK"}},
            });
            let scope = if *namespaced { "namespaces/{namespace}/" } else { "" };
            let path = format!("/{root}/{scope}{plural}");
            paths.insert(format!("{path}/{{name}}"), json!({"patch": operation, "put": operation}));
            paths.insert(path, json!({"post": operation}));
            let schema = json!({"type": "object", "x-kubernetes-group-version-kind": [gvk],
                "x-kubernetes-preserve-unknown-fields": true});
            schemas.insert(format!("{group}.{version}.{kind}"), schema);
        }
        Some(
            json!({"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": "unversioned"}, "paths": paths,
            "components": {"schemas": schemas}}),
        )
    }

    fn of(&self, group: &str, version: &str) -> Option<&BTreeMap<String, Kind>> {
        self.kinds.get(&(group.to_owned(), version.to_owned()))
    }
}

fn root(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// What an object of the exchange says its kind is, where it is of the resource itself.
fn kind_of(object: &ObjectRef, detail: &ExchangeDetail) -> Option<String> {
    if !object.subresource.is_empty() {
        return None;
    }
    let wanted = match object.api_group.as_str() {
        "" => object.api_version.clone(),
        group => format!("{group}/{}", object.api_version),
    };
    let bodies = detail.entries.iter().flat_map(|entry| {
        ["requestObject", "responseObject"].into_iter().filter_map(|body| entry.entry.get(body))
    });
    let own = bodies.filter(|body| body.get("apiVersion").and_then(Value::as_str) == Some(&wanted));
    let mut kinds = own.filter_map(|body| body.get("kind").and_then(Value::as_str));
    let kind = kinds.find(|kind| !matches!(*kind, "Status" | "DeleteOptions"))?;
    Some(kind.strip_suffix("List").unwrap_or(kind).to_owned())
}

/// The kind that a plural is likely of.
fn likely(plural: &str) -> String {
    let singular = plural.strip_suffix('s').unwrap_or(plural);
    let mut letters = singular.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
