//! Matching as RBAC's `PolicyRule` does (k8s.io/component-helpers/auth/rbac/validation).

use crate::kube::RequestInfo;

/// `*` or the value itself.
pub(super) fn any_of(wanted: &[String], value: &str) -> bool {
    wanted.iter().any(|one| one == "*" || one == value)
}

/// `*`, `pods`, `pods/exec`, `*/scale`; with `within`, also the audit policy's `pods/*`.
pub(super) fn resource(wanted: &[String], info: &RequestInfo, within: bool) -> bool {
    wanted.iter().any(|one| match one.split_once('/') {
        _ if one == "*" => true,
        None => *one == info.resource && info.subresource.is_empty(),
        Some(("*", subresource)) => subresource == info.subresource,
        Some((resource, "*")) => within && resource == info.resource && !info.subresource.is_empty(),
        Some((resource, subresource)) => resource == info.resource && subresource == info.subresource,
    })
}

/// A path, or a prefix with `*` behind it.
pub(super) fn url(wanted: &[String], info: &RequestInfo) -> bool {
    wanted.iter().any(|one| info.is_at(one))
}
