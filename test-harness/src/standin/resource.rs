//! The kinds of objects the stand-in knows, and how a request's path names them.

/// A resource type, as discovery lists it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Resource {
    /// Empty for the core group.
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    pub(super) plural: &'static str,
    pub(super) kind: &'static str,
    pub(super) namespaced: bool,
    pub(super) short_names: &'static [&'static str],
    /// Part of `kubectl get all`.
    pub(super) in_all: bool,
    /// Whether its objects carry a `status` subresource, and a `generation` that counts changes of `spec`.
    pub(super) has_status: bool,
}

/// What a path under `/api` or `/apis` points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) resource: &'static Resource,
    /// Empty for cluster-wide requests.
    pub(super) namespace: String,
    pub(super) name: Option<String>,
    pub(super) subresource: Option<String>,
}

const fn core(plural: &'static str, kind: &'static str, short_names: &'static [&'static str]) -> Resource {
    Resource {
        group: "",
        version: "v1",
        plural,
        kind,
        namespaced: true,
        short_names,
        in_all: false,
        has_status: false,
    }
}

const fn workload(
    group: &'static str,
    plural: &'static str,
    kind: &'static str,
    short_names: &'static [&'static str],
) -> Resource {
    Resource { group, in_all: true, has_status: true, ..core(plural, kind, short_names) }
}

/// Every resource type, in the order discovery lists them.
pub(super) static RESOURCES: &[Resource] = &[
    core("configmaps", "ConfigMap", &["cm"]),
    core("events", "Event", &["ev"]),
    Resource { namespaced: false, has_status: true, ..core("namespaces", "Namespace", &["ns"]) },
    workload("", "pods", "Pod", &["po"]),
    core("secrets", "Secret", &[]),
    core("serviceaccounts", "ServiceAccount", &["sa"]),
    workload("", "services", "Service", &["svc"]),
    workload("apps", "daemonsets", "DaemonSet", &["ds"]),
    workload("apps", "deployments", "Deployment", &["deploy"]),
    workload("apps", "replicasets", "ReplicaSet", &["rs"]),
    workload("apps", "statefulsets", "StatefulSet", &["sts"]),
    workload("batch", "cronjobs", "CronJob", &["cj"]),
    workload("batch", "jobs", "Job", &[]),
];

/// The resource type of this group with this plural name.
pub(super) fn resource(group: &str, plural: &str) -> Option<&'static Resource> {
    RESOURCES.iter().find(|resource| resource.group == group && resource.plural == plural)
}

// === impl Resource ===

impl Resource {
    /// `apps/v1`, or `v1` alone for the core group.
    pub(super) fn api_version(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// `deployments.apps`, as error messages name it.
    pub(super) fn qualified(&self) -> String {
        match self.group {
            "" => self.plural.to_owned(),
            group => format!("{}.{group}", self.plural),
        }
    }

    /// `/api/v1` or `/apis/apps/v1`.
    pub(super) fn root(&self) -> String {
        match self.group {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        }
    }
}

// === impl Target ===

impl Target {
    /// What this path points at, if it is one of a known resource.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let mut parts = path.strip_prefix('/')?.split('/');
        let group = match parts.next()? {
            "api" => "",
            "apis" => parts.next()?,
            _ => return None,
        };
        let version = parts.next()?;
        let rest: Vec<&str> = parts.collect();
        let (namespace, rest) = match rest.as_slice() {
            // `namespaces/x` and its subresources are about the namespace itself.
            ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => ("", rest.as_slice()),
            ["namespaces", namespace, rest @ ..] => (*namespace, rest),
            rest => ("", rest),
        };
        let (plural, name, subresource) = match rest {
            [plural] => (plural, None, None),
            [plural, name] => (plural, Some(name), None),
            [plural, name, subresource] => (plural, Some(name), Some(subresource)),
            _ => return None,
        };
        let resource = resource(group, plural).filter(|found| found.version == version)?;
        let elsewhere =
            if resource.namespaced { namespace.is_empty() && name.is_some() } else { !namespace.is_empty() };
        if elsewhere || name.is_some_and(|name| name.is_empty()) {
            return None;
        }
        Some(Self {
            resource,
            namespace: namespace.to_owned(),
            name: name.map(ToString::to_string),
            subresource: subresource.map(ToString::to_string),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_point_at_resources() {
        for (path, expected) in [
            ("/api/v1/namespaces", Some(("namespaces", "", None, None))),
            ("/api/v1/namespaces/shop", Some(("namespaces", "", Some("shop"), None))),
            ("/api/v1/namespaces/shop/status", Some(("namespaces", "", Some("shop"), Some("status")))),
            ("/api/v1/namespaces/shop/secrets", Some(("secrets", "shop", None, None))),
            ("/api/v1/namespaces/shop/secrets/db", Some(("secrets", "shop", Some("db"), None))),
            ("/api/v1/namespaces/shop/pods/web/log", Some(("pods", "shop", Some("web"), Some("log")))),
            ("/api/v1/secrets", Some(("secrets", "", None, None))),
            ("/apis/apps/v1/deployments", Some(("deployments", "", None, None))),
            ("/api/v1/secrets/db", None),
            ("/api/v2/secrets", None),
            ("/api/v1/namespaces/shop/deployments", None),
            ("/api/v1/namespaces/shop/secrets/", None),
            ("/api/v1", None),
            ("/metrics", None),
        ] {
            let found = Target::parse(path);
            let found = found.as_ref().map(|found| {
                let (name, subresource) = (found.name.as_deref(), found.subresource.as_deref());
                (found.resource.plural, found.namespace.as_str(), name, subresource)
            });
            assert_eq!(found, expected, "{path}");
        }
    }
}
