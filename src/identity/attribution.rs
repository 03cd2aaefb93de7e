//! On whose behalf: agent, session, model and prompt, each from the first source that has it.

use super::Identity;
use super::claims::claim;
use crate::config::{AttributionSources, Source};
use crate::kube::Refusal;
use chaperone_record::{Attributed, Attribution};
use serde_json::Value;

/// Longer values are cut.
const MOST_BYTES: usize = 512;
/// Headers in which kubectl tells of itself.
const HINTS: [&str; 2] = ["kubectl-command", "kubectl-session"];

/// Reads the attribution; of a request whose token is not taken, what its headers say. `session` comes from the request's
/// path; `header` gives a request header's first value.
pub fn attribute<'h>(
    sources: &AttributionSources,
    identity: Option<&Identity>,
    session: Option<&str>,
    header: &dyn Fn(&str) -> Option<&'h [u8]>,
) -> Attribution {
    let first = |sources: &[Source]| sources.iter().find_map(|source| read(source, identity, header));
    let from_path = || {
        let value = session?.to_owned();
        Some(Attributed { value, source: "path".to_owned(), verified: false })
    };
    // A signed session wins over the path, the path over headers.
    let mut by_claim = sources.session.iter().filter(|source| source.claim.is_some());
    let hint = |name: &&str| Some(((*name).to_owned(), text(header(name)?)?));
    Attribution {
        agent: first(&sources.agent),
        session: by_claim
            .find_map(|source| read(source, identity, header))
            .or_else(from_path)
            .or_else(|| first(&sources.session)),
        model: first(&sources.model),
        prompt: first(&sources.prompt),
        hints: HINTS.iter().filter_map(hint).collect(),
    }
}

fn read<'h>(
    source: &Source,
    identity: Option<&Identity>,
    header: &dyn Fn(&str) -> Option<&'h [u8]>,
) -> Option<Attributed> {
    if let Some(path) = &source.claim {
        let value = match claim(&identity?.claims, path)? {
            Value::String(value) => text(value.as_bytes())?,
            Value::Number(value) => value.to_string(),
            _ => return None,
        };
        return Some(Attributed { value, source: format!("claim:{path}"), verified: true });
    }
    let name = source.header.as_deref()?;
    let value = text(header(name)?)?;
    Some(Attributed { value, source: format!("header:{name}"), verified: false })
}

/// A value people can read: not empty, cut at the bound, control characters replaced.
fn text(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes.get(..MOST_BYTES).unwrap_or(bytes));
    let text: String = text.trim().chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    (!text.is_empty()).then_some(text)
}

/// Checks what `attribution.require` asks for.
///
/// # Errors
/// 400 naming what is missing and where it is read.
pub fn require(sources: &AttributionSources, attribution: &Attribution, verb: &str) -> Result<(), Refusal> {
    for requirement in &sources.require {
        if !requirement.verbs.iter().any(|wanted| wanted == "*" || wanted == verb) {
            continue;
        }
        for name in &requirement.values {
            let (value, from) = match name.as_str() {
                "agent" => (&attribution.agent, &sources.agent),
                "session" => (&attribution.session, &sources.session),
                "model" => (&attribution.model, &sources.model),
                _ => (&attribution.prompt, &sources.prompt),
            };
            if value.as_ref().is_some_and(|value| value.verified || !requirement.verified) {
                continue;
            }
            let places: Vec<String> = from
                .iter()
                .filter_map(|source| match (&source.claim, &source.header) {
                    (Some(claim), _) => Some(format!("claim {claim}")),
                    (_, Some(header)) if !requirement.verified => Some(format!("header {header}")),
                    _ => None,
                })
                .collect();
            let kind = if requirement.verified { "a verified" } else { "a" };
            let places = if places.is_empty() {
                "no claim is configured as its source".to_owned()
            } else {
                format!("send it as {}", places.join(" or "))
            };
            let why = format!("{verb} requests need {kind} {name}; {places}");
            return Err(Refusal::bad_request("attribution.require", "attribution", &why));
        }
    }
    Ok(())
}
