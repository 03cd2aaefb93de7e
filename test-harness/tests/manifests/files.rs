//! The manifests, as they are in the repository.

use anyhow::{Context as _, Result, ensure};
use chaperone_test_harness::process::repository;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;

/// A Kubernetes object.
pub type Object = Value;

/// Its kind and name, for messages.
pub fn name(object: &Object) -> String {
    let part = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or("?");
    format!("{} {}", part("/kind"), part("/metadata/name"))
}

/// A folder of `filter-config/`.
pub fn folder(path: &str) -> PathBuf {
    repository().join("filter-config").join(path)
}

/// The objects of one YAML text.
pub fn parse(text: &str) -> Result<Vec<Object>> {
    let objects: Vec<Object> = serde_saphyr::from_multiple(text)?;
    Ok(objects.into_iter().filter(|object| !object.is_null()).collect())
}

/// The objects of a folder's manifests, in the order of the files' names.
pub fn in_folder(path: &str) -> Result<Vec<Object>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder(path)).with_context(|| path.to_owned())? {
        paths.push(entry?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    let mut objects = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path)?;
        objects.extend(parse(&text).with_context(|| path.display().to_string())?);
    }
    ensure!(!objects.is_empty(), "no manifests in {path}");
    Ok(objects)
}

/// All manifests for Istio.
pub fn istio() -> Result<Vec<Object>> {
    let mut objects = in_folder("istio")?;
    objects.extend(in_folder("istio/options")?);
    Ok(objects)
}

/// The WasmPlugin, configured as the comment in `token-for-each-agent.yaml` says.
pub fn with_token_for_each_agent() -> Result<Object> {
    let text = fs::read_to_string(folder("istio/options/token-for-each-agent.yaml"))?;
    let lines = text.lines().filter_map(|line| line.strip_prefix("#   "));
    let said: Value = serde_saphyr::from_str(&lines.collect::<Vec<_>>().join("\n"))?;
    ensure!(said["credential"]["tokenRequest"].is_object(), "the comment does not say how: {said}");
    let mut plugin = in_folder("istio")?
        .into_iter()
        .find(|object| object["kind"] == "WasmPlugin")
        .context("no WasmPlugin")?;
    change(&mut plugin, "/spec/pluginConfig/credential", said["credential"].clone())?;
    Ok(plugin)
}

/// Istio's custom resource definitions, which are not ours to copy: the file that `ISTIO_CRDS` names, else where they may be
/// beside this repository.
pub fn istio_definitions() -> Option<String> {
    let named = std::env::var_os("ISTIO_CRDS").map(PathBuf::from);
    let path = named.unwrap_or_else(|| repository().join("../shared/istio/crds.yaml"));
    fs::read_to_string(path).ok()
}

/// Sets the value at a JSON pointer whose parent exists; null takes it away.
pub fn change(object: &mut Object, pointer: &str, value: Value) -> Result<()> {
    let (parent, field) = pointer.rsplit_once('/').context("a pointer")?;
    let parent = object.pointer_mut(parent).with_context(|| format!("no {parent}"))?;
    match (parent, field.parse::<usize>()) {
        (Value::Object(fields), _) if value.is_null() => drop(fields.remove(field)),
        (Value::Array(items), Ok(index)) => *items.get_mut(index).context("no such item")? = value,
        (parent, _) => parent[field] = value,
    }
    Ok(())
}
