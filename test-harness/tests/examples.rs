//! The example configurations are good, by the filter's own validation and by the schema that editors use.

use anyhow::{Context as _, Result, ensure};
use chaperone_filter::config::FilterConfig;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Good for a token and for a key alike: the Ed25519 key of RFC 8032, section 7.1, test 1.
const ANY_VALUE: &str = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g";

fn folder(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../filter-config").join(path)
}

fn schema() -> Result<jsonschema::Validator> {
    let schema: Value = serde_json::from_str(&fs::read_to_string(folder("schema.json"))?)?;
    Ok(jsonschema::validator_for(&schema)?)
}

#[test]
fn examples_are_good() -> Result<()> {
    let schema = schema()?;
    let mut count = 0;
    for entry in fs::read_dir(folder("examples"))? {
        let path = entry?.path();
        let example: Value = serde_saphyr::from_str(&fs::read_to_string(&path)?)
            .with_context(|| path.display().to_string())?;
        let errors: Vec<String> = schema.iter_errors(&example).map(|error| error.to_string()).collect();
        ensure!(errors.is_empty(), "{}: {errors:?}", path.display());
        let parsed = FilterConfig::parse(example.to_string().as_bytes(), &|_| Some(ANY_VALUE.to_owned()));
        ensure!(parsed.is_ok(), "{}: {:?}", path.display(), parsed.err());
        count += 1;
    }
    ensure!(count >= 2, "there are {count} examples");
    Ok(())
}

/// What the schema says is wrong, the filter says too.
#[test]
fn the_schema_refuses_what_the_filter_refuses() -> Result<()> {
    let schema = schema()?;
    let good: Value = serde_saphyr::from_str(&fs::read_to_string(folder("examples/full.yaml"))?)?;
    for (pointer, value) in [
        ("/authentication/jwt", Value::String("all".into())),
        ("/access/default", Value::String("maybe".into())),
        ("/recording/limits/batchBytes", Value::String("many".into())),
        ("/recording/limits/outboxBytes", 1.into()),
        ("/recording/onFull", Value::String("drop".into())),
        ("/credential", serde_json::json!({})),
        ("/colour", Value::String("red".into())),
    ] {
        let mut bad = good.clone();
        let (parent, field) = pointer.rsplit_once('/').context("a pointer")?;
        bad.pointer_mut(parent).context("a parent")?[field] = value;
        ensure!(!schema.is_valid(&bad), "the schema takes {pointer}");
        let parsed = FilterConfig::parse(bad.to_string().as_bytes(), &|_| Some(ANY_VALUE.to_owned()));
        ensure!(parsed.is_err(), "the filter takes {pointer}");
    }
    Ok(())
}
