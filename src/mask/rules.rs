//! What the configuration says of masking, ready for use, and what of it concerns a request.

use super::fields::Fields;
use super::plan::{Plan, Taken};
use super::seal::Recipient;
use super::text::{self, PatternError, TextPatterns};
use super::write_back::Sentinel;
use super::{Replacement, fields};
use crate::config::{Masking, Patterns, Problem};
use crate::kube::{RequestInfo, StreamKind};
use std::rc::Rc;

/// What the configuration says of masking, ready for use.
pub struct MaskRules {
    pub(crate) replacement: Rc<Replacement>,
    pub(crate) sentinel: Rc<Sentinel>,
    resources: Vec<ResourceFields>,
    patterns: Option<Rc<TextPatterns>>,
    apply_to: Vec<&'static str>,
    pub(crate) recipient: Option<Recipient>,
}

/// Fields of some resources.
struct ResourceFields {
    api_groups: Vec<String>,
    resources: Vec<String>,
    fields: Fields,
}

/// What is masked in one request's objects beside Secrets and tokens.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    /// Fields by their place.
    pub fields: Option<Rc<Fields>>,
    /// Credentials in any string.
    pub patterns: Option<Rc<TextPatterns>>,
}

impl Extra {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.fields.is_none() && self.patterns.is_none()
    }
}

impl MaskRules {
    /// From the configuration.
    ///
    /// # Errors
    /// What can't be used, each with its place.
    pub fn compile(config: &Masking) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut refuse = |path: String, message: String| problems.push(Problem { path, message });
        let replacement = Replacement::new(&config.replacement).unwrap_or_else(|| {
            refuse("masking.replacement".to_owned(), "can't be used".to_owned());
            Replacement::default()
        });
        let resources = resource_fields(config, &mut refuse);
        let patterns = match text_patterns(&config.patterns, &replacement) {
            Ok(patterns) => patterns,
            Err(errors) => {
                for error in errors {
                    let path = match error.custom() {
                        Some(at) => format!("masking.patterns.custom[{at}]"),
                        None => "masking.patterns".to_owned(),
                    };
                    refuse(path, error.to_string());
                }
                None
            }
        };
        let recipient = config.seal_to.as_ref().and_then(|key| {
            let recipient = Recipient::parse(key);
            if recipient.is_none() {
                let message = "is no X25519 public key: 32 bytes in base64, not all zero";
                refuse("masking.sealTo".to_owned(), message.to_owned());
            }
            recipient
        });
        let apply_to = match &config.patterns.apply_to {
            None => crate::config::APPLY_TO.to_vec(),
            Some(some) => crate::config::APPLY_TO
                .iter()
                .filter(|one| some.iter().any(|name| name == *one))
                .copied()
                .collect(),
        };
        let (sentinel, replacement) = (Rc::new(Sentinel::new(&replacement)), Rc::new(replacement));
        if problems.is_empty() {
            Ok(Self { replacement, sentinel, resources, patterns, apply_to, recipient })
        } else {
            Err(problems)
        }
    }

    /// What is masked in the objects of a request and its response.
    pub fn extra(&self, info: &RequestInfo) -> Extra {
        let mut fields = Fields::default();
        for one in &self.resources {
            if matches(&one.api_groups, &info.api_group) && matches(&one.resources, &info.resource) {
                // Compiling made sure that there is room.
                let _ = fields.extend(&one.fields);
            }
        }
        Extra {
            fields: (!fields.is_empty()).then(|| Rc::new(fields)),
            patterns: text_source(info).and_then(|source| self.patterns_for(source)),
        }
    }

    /// How a request's body is masked before it is written down; none where there is nothing in it to mask.
    pub fn request(&self, info: &RequestInfo) -> Option<(Plan, Extra)> {
        let (extra, secret) = (self.extra(info), info.is_secret());
        let plan = if secret { Plan::secret_request() } else { Plan { taken: Taken::ByKind, watch: false } };
        // A whole object may be a Secret that was sent to the wrong place; a patch says nothing of its kind.
        let whole = matches!(info.verb.as_str(), "create" | "update" | "post" | "put");
        (secret || whole || !extra.is_empty()).then_some((plan, extra))
    }

    /// The patterns for the text of a pod's log.
    pub fn log_patterns(&self, info: &RequestInfo) -> Option<Rc<TextPatterns>> {
        if is_log(info) { self.patterns_for("logs") } else { None }
    }

    /// The patterns for what a process prints in exec and attach.
    pub fn exec_patterns(&self, info: &RequestInfo) -> Option<Rc<TextPatterns>> {
        let terminal = matches!(info.stream_kind(), Some(StreamKind::Exec | StreamKind::Attach));
        if terminal { self.patterns_for("exec") } else { None }
    }

    fn patterns_for(&self, source: &str) -> Option<Rc<TextPatterns>> {
        self.patterns.clone().filter(|_| self.apply_to.contains(&source))
    }
}

fn matches(names: &[String], name: &str) -> bool {
    names.iter().any(|one| one == "*" || one == name)
}

fn is_log(info: &RequestInfo) -> bool {
    (info.api_group.as_str(), info.resource.as_str(), info.subresource.as_str()) == ("", "pods", "log")
}

/// Which of the texts of `applyTo` a request's objects hold.
fn text_source(info: &RequestInfo) -> Option<&'static str> {
    match (info.api_group.as_str(), info.resource.as_str()) {
        _ if is_log(info) => Some("logs"),
        ("", "configmaps") => Some("configmaps"),
        ("", "pods" | "podtemplates" | "replicationcontrollers") | ("apps" | "batch", _) => Some("pods"),
        ("" | "events.k8s.io", "events") => Some("events"),
        _ => None,
    }
}

fn resource_fields(config: &Masking, refuse: &mut impl FnMut(String, String)) -> Vec<ResourceFields> {
    let mut compiled = Vec::new();
    let mut all = 0_usize;
    for (at, one) in config.resources.iter().enumerate() {
        let mut fields = Fields::default();
        for (index, path) in one.fields.iter().enumerate() {
            if let Err(why) = fields.add(path) {
                refuse(format!("masking.resources[{at}].fields[{index}]"), why.to_owned());
            }
        }
        all = all.saturating_add(one.fields.len());
        let (api_groups, resources) = (one.api_groups.clone(), one.resources.clone());
        compiled.push(ResourceFields { api_groups, resources, fields });
    }
    if all > fields::MOST_FIELDS {
        let message = format!("name more than {} fields altogether", fields::MOST_FIELDS);
        refuse("masking.resources".to_owned(), message);
    }
    compiled
}

fn text_patterns(
    config: &Patterns,
    replacement: &Replacement,
) -> Result<Option<Rc<TextPatterns>>, Vec<PatternError>> {
    let custom: Vec<_> = config
        .custom
        .iter()
        .map(|one| text::CustomPattern { name: one.name.clone(), regex: one.regex.clone() })
        .collect();
    let patterns = TextPatterns::new(&config.enable, &custom, replacement)?;
    Ok((!patterns.is_empty()).then(|| Rc::new(patterns)))
}

#[cfg(test)]
mod tests {
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;
    use serde_json::json;

    #[test]
    fn what_cannot_be_used_is_named() {
        let many: Vec<String> = (0..65).map(|at| format!("$.spec.f{at}")).collect();
        let resource = |fields: serde_json::Value| json!({"resources": [{"apiGroups": [""], "resources": ["pods"], "fields": fields}]});
        for (config, expected) in [
            (json!({"sealTo": "AAAA"}), "masking.sealTo"),
            (resource(json!(["$.a", "spec"])), "masking.resources[0].fields[1]"),
            (resource(json!(many)), "masking.resources[0].fields[64]"),
            (json!({"patterns": {"custom": [{"name": "a", "regex": "x("}]}}), "masking.patterns.custom[0]"),
            (json!({"patterns": {"custom": [{"name": "a", "regex": "x*"}]}}), "masking.patterns.custom[0]"),
            (json!({"patterns": {"enable": ["no-such"]}}), "masking.patterns"),
        ] {
            let config: Masking = serde_json::from_value(config).unwrap();
            let problems = MaskRules::compile(&config).err().expect(expected);
            assert_eq!(problems[0].path, expected, "{problems:?}");
        }
        assert!(MaskRules::compile(&Masking::default()).is_ok());
    }
}
