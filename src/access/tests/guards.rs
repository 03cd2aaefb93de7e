//! Guards: each refuses what it is for, and nothing else.

#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

fn head(headers: &[(&str, &str)]) -> RequestHead {
    RequestHead::new(
        headers.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect(),
    )
}

#[test]
fn every_guard_refuses_and_can_be_switched_off() {
    let plain: &[(&str, &str)] = &[];
    let websocket: &[(&str, &str)] = &[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")];
    for (guard, method, target, headers, body) in [
        ("token-request", "POST", "/api/v1/namespaces/a/serviceaccounts/b/token", plain, true),
        ("token-review", "POST", "/apis/authentication.k8s.io/v1/tokenreviews", plain, true),
        (
            "certificate-signing",
            "POST",
            "/apis/certificates.k8s.io/v1/certificatesigningrequests",
            plain,
            true,
        ),
        (
            "certificate-signing",
            "PUT",
            "/apis/certificates.k8s.io/v1/certificatesigningrequests/x/approval",
            plain,
            true,
        ),
        ("token-request", "POST", "/s/x/api/v1/namespaces/a/serviceaccounts/b/token?dryRun=All", plain, true),
        ("token-request", "POST", "/api/v1/namespaces/a/serviceaccounts/b/%74oken/", plain, true),
        (
            "certificate-signing",
            "PATCH",
            "/apis/certificates.k8s.io/v1/certificatesigningrequests/x/status",
            plain,
            true,
        ),
        (
            "certificate-signing",
            "POST",
            "/apis/certificates.k8s.io/v1beta1/certificatesigningrequests",
            plain,
            true,
        ),
        ("node-proxy", "GET", "/api/v1/nodes/n/proxy/pods", plain, false),
        ("node-proxy", "POST", "/api/v1/nodes/https:n:10250/proxy/run/a/p/c", plain, true),
        ("pod-proxy", "GET", "/api/v1/namespaces/a/pods/p/proxy", plain, false),
        ("pod-proxy", "DELETE", "/api/v1/namespaces/a/pods/http:p:80/proxy/x/y", plain, false),
        ("service-proxy", "GET", "/api/v1/namespaces/a/services/https:s:443/proxy/x", plain, false),
        ("debug-endpoints", "GET", "/metrics", plain, false),
        ("debug-endpoints", "GET", "/debug/pprof/heap", plain, false),
        ("debug-endpoints", "GET", "/logs/kube-apiserver.log", plain, false),
        ("debug-endpoints", "GET", "/logs/", plain, false),
        ("debug-endpoints", "GET", "/configz", plain, false),
        ("debug-endpoints", "GET", "/flagz", plain, false),
        ("debug-endpoints", "GET", "/statusz", plain, false),
        ("debug-endpoints", "HEAD", "/m%65trics/slis", plain, false),
        ("debug-endpoints", "PUT", "/debug/flags/v", plain, true),
        (
            "admission-config",
            "POST",
            "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
            plain,
            true,
        ),
        ("unrecorded-streams", "GET", "/api/v1/namespaces/a/pods/p/exec?command=id", websocket, false),
        ("unrecorded-streams", "GET", "/api/v1/namespaces/a/pods/p/log", websocket, false),
        ("unrecorded-streams", "POST", "/api/v1/namespaces/a/pods/p/exec", plain, false),
        ("unrecorded-streams", "GET", "/api/v1/namespaces/a/pods/p/attach", plain, false),
        ("unrecorded-streams", "POST", "/api/v1/namespaces/a/pods/p/portforward", plain, false),
        ("unrecorded-streams", "GET", "/api/v1/namespaces/a/secrets?watch=1", websocket, false),
        (
            "unrecorded-streams",
            "GET",
            "/apis/subresources.kubevirt.io/v1/namespaces/a/virtualmachineinstances/v/vnc",
            websocket,
            false,
        ),
        (
            "admission-config",
            "DELETE",
            "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
            plain,
            false,
        ),
        (
            "admission-config",
            "PATCH",
            "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/x",
            plain,
            true,
        ),
        ("delete-dry-run-body", "DELETE", "/api/v1/namespaces/a/pods/p?dryRun=All", plain, true),
        ("delete-dry-run-body", "DELETE", "/api/v1/namespaces/a/pods?dryRun", plain, true),
    ] {
        let (info, head) = (info(method, target), head(headers));
        let refusal = Guards::new(&[]).check(&info, &head, !body).expect_err(target);
        assert_eq!(refusal.rule, format!("guard:{guard}"), "{target}");
        assert_eq!(refusal.status.code(), 403);
        assert_eq!(Guards::new(&[guard.to_owned()]).check(&info, &head, !body), Ok(()), "{target}");
        assert!(GUARDS.contains(&guard));
        let others: Vec<String> =
            GUARDS.iter().filter(|name| **name != guard).map(|&name| name.to_owned()).collect();
        assert_eq!(
            Guards::new(&others).check(&info, &head, !body).unwrap_err().rule,
            refusal.rule,
            "{target}"
        );
    }
}

#[test]
fn guards_on_bodies_can_be_switched_off_too() {
    for guard in [BodyGuard::MaskWriteBack, BodyGuard::SecretJsonPatch, BodyGuard::ServiceAccountSecrets] {
        assert!(GUARDS.contains(&guard.name()));
        assert!(Guards::new(&[]).checks(guard));
        assert!(!Guards::new(&[guard.name().to_owned()]).checks(guard));
    }
}

/// A request that several guards meet is refused until all of them are off.
#[test]
fn one_guard_does_not_stand_for_another() {
    let both =
        info("DELETE", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/x?dryRun=All");
    let refused = |disabled: &[&str]| {
        let disabled: Vec<String> = disabled.iter().map(|&name| name.to_owned()).collect();
        Guards::new(&disabled).check(&both, &head(&[]), false).err().map(|refusal| refusal.rule)
    };
    assert_eq!(refused(&[]).as_deref(), Some("guard:admission-config"));
    assert_eq!(refused(&["admission-config"]).as_deref(), Some("guard:delete-dry-run-body"));
    assert_eq!(refused(&["delete-dry-run-body"]).as_deref(), Some("guard:admission-config"));
    assert_eq!(refused(&["admission-config", "delete-dry-run-body"]), None);
}

#[test]
fn ordinary_requests_meet_no_guard() {
    for (method, target) in [
        ("GET", "/api/v1/namespaces/a/secrets/b"),
        ("POST", "/api/v1/namespaces/a/serviceaccounts"),
        ("GET", "/apis/certificates.k8s.io/v1/certificatesigningrequests"),
        ("GET", "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"),
        ("DELETE", "/api/v1/namespaces/a/pods/p"),
        ("DELETE", "/api/v1/namespaces/a/pods/p?gracePeriodSeconds=0"),
        ("GET", "/apis/metrics.k8s.io/v1beta1/pods"),
        ("GET", "/api/v1/namespaces/metrics/pods/logs"),
        ("GET", "/api/v1/namespaces/a/pods/p/log?follow=true"),
        ("GET", "/api/v1/namespaces/a/secrets?watch=1"),
        ("GET", "/metricsx"),
        ("GET", "/openapi/v3"),
    ] {
        assert_eq!(Guards::new(&[]).check(&info(method, target), &head(&[]), false), Ok(()), "{target}");
    }
}
