//! The manifests for Istio fit together: what one names, another has. An API server does not see to that.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::files::{Object, in_folder, name};

/// In every cluster.
const API_SERVER: (&str, u64) = ("kubernetes.default.svc.cluster.local", 443);

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn of_kind<'a>(objects: &'a [Object], kind: &'a str) -> impl Iterator<Item = &'a Object> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

/// Hosts and ports that Istio knows.
fn services(objects: &[Object]) -> Vec<(String, u64)> {
    let mut services = vec![(API_SERVER.0.to_owned(), API_SERVER.1)];
    for entry in of_kind(objects, "ServiceEntry") {
        let port = entry.pointer("/spec/ports/0/number").and_then(Value::as_u64).unwrap_or_default();
        services.push((text(entry, "/spec/hosts/0").to_owned(), port));
    }
    for service in of_kind(objects, "Service") {
        let (name, namespace) = (text(service, "/metadata/name"), text(service, "/metadata/namespace"));
        let port = service.pointer("/spec/ports/0/port").and_then(Value::as_u64).unwrap_or_default();
        services.push((format!("{name}.{namespace}.svc.cluster.local"), port));
    }
    services
}

/// All strings of an object.
fn strings<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
        Value::Object(fields) => fields.values().for_each(|value| strings(value, found)),
        _ => {}
    }
}

#[test]
fn the_filter_calls_services_that_istio_knows() -> Result<()> {
    let objects = in_folder("istio")?;
    let services = services(&objects);
    let plugin = of_kind(&objects, "WasmPlugin").next().context("no WasmPlugin")?;
    let mut found = Vec::new();
    strings(&plugin["spec"]["pluginConfig"], &mut found);
    let clusters: Vec<_> = found.iter().filter_map(|text| text.strip_prefix("outbound|")).collect();
    ensure!(clusters.len() == 2, "clusters: {clusters:?}");
    for cluster in clusters {
        let (port, host) = cluster.split_once("||").context("outbound|PORT||HOST")?;
        ensure!(services.contains(&(host.to_owned(), port.parse()?)), "{cluster} is not in {services:?}");
    }
    for rule in of_kind(&objects, "DestinationRule") {
        let host = text(rule, "/spec/host");
        ensure!(services.iter().any(|(known, _)| known == host), "{}: {host}", name(rule));
        ensure!(rule.pointer("/spec/trafficPolicy/tls/mode").is_some(), "{}: no TLS", name(rule));
    }
    let route = of_kind(&objects, "VirtualService").next().context("no VirtualService")?;
    for rule in route["spec"]["http"].as_array().context("no rules")? {
        let target = &rule["route"][0]["destination"];
        let target =
            (text(target, "/host").to_owned(), target["port"]["number"].as_u64().context("no port")?);
        ensure!(services.contains(&target), "{target:?} is not in {services:?}");
    }
    Ok(())
}

/// A selector that selects nothing would leave the gateway without its filter.
#[test]
fn selectors_select_the_gateway() -> Result<()> {
    let objects = in_folder("istio")?;
    let pods: Vec<_> = of_kind(&objects, "Deployment")
        .map(|object| &object["spec"]["template"]["metadata"]["labels"])
        .collect();
    let gateway = *pods.iter().find(|labels| labels["app"] == "chaperone-gateway").context("no gateway")?;
    let selects = |selector: &Value, labels: &Value| {
        selector.as_object().is_some_and(|wanted| wanted.iter().all(|(key, value)| labels[key] == *value))
    };
    for (kind, pointer) in [
        ("WasmPlugin", "/spec/selector/matchLabels"),
        ("EnvoyFilter", "/spec/workloadSelector/labels"),
        ("Gateway", "/spec/selector"),
    ] {
        let object = of_kind(&objects, kind).next().context(kind)?;
        let selector = object.pointer(pointer).with_context(|| format!("{kind} has no {pointer}"))?;
        ensure!(selects(selector, gateway), "{}: {selector}", name(object));
    }
    for (kind, pointer) in [
        ("Service", "/spec/selector"),
        ("Deployment", "/spec/selector/matchLabels"),
        ("NetworkPolicy", "/spec/podSelector/matchLabels"),
        ("DestinationRule", "/spec/workloadSelector/matchLabels"),
    ] {
        for object in of_kind(&objects, kind) {
            let Some(selector) = object.pointer(pointer) else { continue };
            ensure!(pods.iter().any(|labels| selects(selector, labels)), "{}: {selector}", name(object));
        }
    }
    Ok(())
}

/// The variables of the filter are in its VM's environment and in the gateway's, from Secrets.
#[test]
fn credentials_come_from_secrets() -> Result<()> {
    let objects = in_folder("istio")?;
    let plugin = of_kind(&objects, "WasmPlugin").next().context("no WasmPlugin")?;
    let mut found = Vec::new();
    strings(&plugin["spec"]["pluginConfig"], &mut found);
    let pods =
        of_kind(&objects, "Deployment").find(|object| text(object, "/metadata/name") == "chaperone-gateway");
    let variables =
        pods.and_then(|pods| pods.pointer("/spec/template/spec/containers/0/env")).context("no env")?;
    let wanted: Vec<_> = found.into_iter().filter(|text| text.starts_with("CHAPERONE_")).collect();
    ensure!(wanted.len() == 3, "variables: {wanted:?}");
    for name in wanted {
        let listed =
            |list: &Value| list.as_array()?.iter().find(|variable| variable["name"] == name).cloned();
        let variable =
            listed(&plugin["spec"]["vmConfig"]["env"]).with_context(|| format!("{name} in the VM"))?;
        ensure!(variable["valueFrom"] == "HOST" && variable["value"].is_null(), "{variable}");
        let variable = listed(variables).with_context(|| format!("{name} in the gateway"))?;
        ensure!(variable["valueFrom"]["secretKeyRef"]["key"].is_string(), "{variable}");
    }
    Ok(())
}

/// No account of the manifests may read Secrets, or has its token in a pod.
#[test]
fn accounts_have_few_rights() -> Result<()> {
    let mut objects = in_folder("istio")?;
    objects.extend(in_folder("istio/options")?);
    for object in &objects {
        match object["kind"].as_str() {
            Some("ServiceAccount") => {
                ensure!(object["automountServiceAccountToken"] == false, "{}", name(object));
            }
            Some("Deployment") => {
                let pod = &object["spec"]["template"]["spec"];
                ensure!(pod["automountServiceAccountToken"] == false, "{}", name(object));
            }
            Some("Role" | "ClusterRole") => {
                for rule in object["rules"].as_array().into_iter().flatten() {
                    let rights = rule.to_string();
                    for right in ["\"*\"", "\"secrets\"", "impersonate", "escalate", "bind", "pods/exec"] {
                        ensure!(!rights.contains(right), "{}: {right}", name(object));
                    }
                }
            }
            Some("RoleBinding" | "ClusterRoleBinding") => {
                let role = text(object, "/roleRef/name");
                ensure!(role == "view" || role.starts_with("chaperone-"), "{}: {role}", name(object));
            }
            _ => {}
        }
    }
    Ok(())
}
