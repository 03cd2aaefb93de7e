//! The rules (CEL) in the schemas of Istio's custom resource definitions. API servers before 1.25 drop them unseen, so they
//! are evaluated here.

use anyhow::{Context as _, Result, bail, ensure};
use cel::extractors::This;
use cel::{Context, Program};
use chaperone_test_harness::process::WorkDir;
use serde_json::{Value, json};
use std::sync::Arc;

use crate::files::{Object, change, istio, istio_definitions, name, parse};
use crate::{helm, skipped};

/// What the rules say is wrong with an object, by path.
fn broken(object: &Object, definitions: &[Object]) -> Result<Vec<String>> {
    let (group, version) =
        object["apiVersion"].as_str().and_then(|text| text.split_once('/')).unwrap_or_default();
    let definition = definitions.iter().find(|definition| {
        definition["spec"]["group"] == group && definition["spec"]["names"]["kind"] == object["kind"]
    });
    let Some(definition) = definition else { return Ok(Vec::new()) };
    let versions = definition["spec"]["versions"].as_array().context("no versions")?;
    let version = versions.iter().find(|served| served["name"] == version).context("no such version")?;
    let mut found = Vec::new();
    walk("", object, &version["schema"]["openAPIV3Schema"], &mut found)?;
    Ok(found)
}

fn walk(path: &str, value: &Value, schema: &Value, found: &mut Vec<String>) -> Result<()> {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let text = rule["rule"].as_str().context("a rule")?;
        if !holds(text, value).with_context(|| format!("{path}: {text}"))? {
            found.push(format!("{path}: {}", rule["message"].as_str().unwrap_or(text)));
        }
    }
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let schema = schema["properties"].get(field).unwrap_or(&schema["additionalProperties"]);
                walk(&format!("{path}.{field}"), value, schema, found)?;
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(&format!("{path}[{index}]"), item, &schema["items"], found)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Whether a rule holds for a value; Kubernetes' own functions are those that Istio's rules use.
fn holds(rule: &str, value: &Value) -> Result<bool> {
    let program = Program::compile(rule)?;
    let mut context = Context::default();
    context.add_variable("self", value).map_err(|error| anyhow::anyhow!("{error}"))?;
    context.add_function("isURL", |text: Arc<String>| text.contains("://"))?;
    context.add_function("url", |text: Arc<String>| text)?;
    context.add_function("getScheme", |This(text): This<Arc<String>>| {
        text.split_once("://").map_or_else(String::new, |(scheme, _)| scheme.to_owned())
    })?;
    match program.execute(&context)? {
        cel::Value::Bool(holds) => Ok(holds),
        other => bail!("a rule that gives {other:?}"),
    }
}

#[tokio::test]
async fn the_rules_of_istios_schemas_hold() -> Result<()> {
    let Some(definitions) = istio_definitions() else {
        skipped("no custom resource definitions of Istio's; ISTIO_CRDS may name the file");
        return Ok(());
    };
    let definitions = parse(&definitions)?;
    let dir = WorkDir::new()?;
    let manifests = istio()?;
    let mut objects = manifests.clone();
    objects.extend(helm::renderings(&dir).await?);
    for object in &objects {
        let broken = broken(object, &definitions).with_context(|| name(object))?;
        ensure!(broken.is_empty(), "{}: {}", name(object), broken.join(", "));
    }
    for (kind, pointer, value, said) in [
        ("VirtualService", "/spec/http/0/timeout", json!("0s"), "valid duration"),
        ("WasmPlugin", "/spec/url", json!("ftp://registry.example.com/filter"), "url must have schema"),
        ("WasmPlugin", "/spec/vmConfig/env/0/value", json!("inline"), "valueFrom is INLINE"),
        ("WasmPlugin", "/spec/targetRefs", json!([]), "only one of targetRefs or selector"),
        ("EnvoyFilter", "/spec/workloadSelector/labels/app", json!("*"), "wildcard"),
        ("ServiceEntry", "/spec/hosts/0", json!("*"), "wildcard"),
    ] {
        let mut object = manifests.iter().find(|object| object["kind"] == kind).cloned().unwrap_or_default();
        change(&mut object, pointer, value)?;
        let broken = broken(&object, &definitions)?.join(", ");
        ensure!(broken.contains(said), "{kind} {pointer}: {broken}");
        println!("broken: {kind} {pointer}: {broken}");
    }
    dir.remove();
    Ok(())
}
