//! `config check`: the filter's own validation, run here, before a gateway refuses the configuration.

use super::{Failure, output};
use chaperone_filter::config::{FilterConfig, Problem};
use clap::{Args, Subcommand};
use serde_json::Value;
use std::path::PathBuf;
use std::process::ExitCode;
use std::{env, fs, io};

/// Stands in for a signing key that is only in the gateway's environment: the Ed25519 key of RFC 8032,
/// section 7.1, test 1.
const ANY_KEY: &str = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g";

#[derive(Subcommand)]
pub(super) enum Command {
    /// Print everything that is wrong with a configuration, each error with its JSON path.
    Check(CheckArguments),
}

#[derive(Args)]
pub(super) struct CheckArguments {
    /// JSON or YAML: a FilterConfig, or an Istio WasmPlugin that holds one in spec.pluginConfig. `-` reads standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Check the values of the environment variables that it names too, as this process has them. Else only that variables
    /// are named: their values are in the gateway's environment.
    #[arg(long)]
    env: bool,
}

pub(super) fn run(command: Command) -> Result<ExitCode, Failure> {
    let Command::Check(arguments) = command;
    let path = &arguments.file;
    let failed = |source| Failure::File { path: path.clone(), source };
    let text =
        if path.as_os_str() == "-" { io::read_to_string(io::stdin()) } else { fs::read_to_string(path) };
    let problems = match document(&text.map_err(failed)?) {
        Ok(config) => check(&config, arguments.env),
        Err(problem) => vec![problem],
    };
    if problems.is_empty() {
        output::lines([format!("{}: good.", path.display())])?;
        return Ok(ExitCode::SUCCESS);
    }
    output::lines(problems.iter().map(ToString::to_string))?;
    Ok(ExitCode::FAILURE)
}

/// The configuration as the filter gets it: JSON.
fn document(text: &str) -> Result<String, Problem> {
    let wrong = |message: String| Problem { path: "$".to_owned(), message };
    // JSON goes to the filter as it is: it finds a member that is there twice.
    let json: Result<Value, _> = serde_json::from_str(text);
    let is_json = json.is_ok();
    let value = match json {
        Ok(value) => value,
        Err(_) => serde_saphyr::from_str(text)
            .map_err(|error| wrong(format!("is neither JSON nor YAML: {error}")))?,
    };
    match value.pointer("/spec/pluginConfig") {
        Some(inner) if value["kind"] == "WasmPlugin" => Ok(inner.to_string()),
        _ if is_json => Ok(text.to_owned()),
        _ => Ok(value.to_string()),
    }
}

fn check(config: &str, with_environment: bool) -> Vec<Problem> {
    let lookup = |name: &str| match env::var(name) {
        Ok(value) if with_environment => Some(value),
        _ if with_environment => None,
        // Good for a token and for a key alike.
        _ => (!name.is_empty()).then(|| ANY_KEY.to_owned()),
    };
    FilterConfig::parse(config.as_bytes(), &lookup).err().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
apiVersion: chaperone.dev/v1alpha1
kind: FilterConfig
authentication: {jwt: [{issuer: {url: "https://idp.example.com", audiences: [kubernetes], cluster: idp}}]}
credential: {bearerToken: {env: CHAPERONE_UPSTREAM_TOKEN}}
recording:
  collector: {cluster: collector, token: {env: CHAPERONE_COLLECTOR_TOKEN}}
  signingKey: {env: CHAPERONE_SIGNING_KEY}
"#;

    fn problems(text: &str) -> Vec<String> {
        let checked = document(text).map_or_else(|problem| vec![problem], |config| check(&config, false));
        checked.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn yaml_json_and_manifests_are_checked_alike() {
        assert_eq!(problems(GOOD), Vec::<String>::new());
        let value: Value = serde_saphyr::from_str(GOOD).unwrap();
        assert_eq!(problems(&value.to_string()), Vec::<String>::new());
        let plugin = format!("kind: WasmPlugin\nspec:\n  pluginConfig:\n{}", GOOD.replace('\n', "\n    "));
        assert_eq!(problems(&plugin), Vec::<String>::new());
    }

    #[test]
    fn every_error_has_its_path() {
        let bad = GOOD
            .replace("audiences: [kubernetes]", "audiences: []")
            .replace("kind: FilterConfig", "kind: FilterConfig\ncolour: red");
        let found = problems(&bad);
        for path in ["authentication.jwt[0].issuer.audiences", "colour"] {
            assert!(
                found.iter().any(|problem| problem.starts_with(&format!("{path}: "))),
                "{path}: {found:?}"
            );
        }
        assert!(problems("a: [").first().unwrap().starts_with("$: is neither JSON nor YAML"));
        assert!(problems(r#"{"kind": "FilterConfig", "kind": "FilterConfig"}"#)[0].contains("twice"));
    }
}
