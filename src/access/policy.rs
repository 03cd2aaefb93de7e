//! The configured rules: the first that matches decides.

use super::matching::{any_of, resource, url};
use crate::config::{Access, AccessRule, Effect};
use crate::kube::{Refusal, RequestInfo};
use chaperone_record::{Decision, User};

/// `access.default` and `access.rules`.
pub struct AccessPolicy {
    default: Effect,
    rules: Vec<AccessRule>,
}

impl AccessPolicy {
    /// From the configuration. Rules without a name get that of their place.
    pub fn compile(config: &Access) -> Self {
        let mut rules = config.rules.clone();
        for (index, rule) in rules.iter_mut().enumerate().filter(|(_, rule)| rule.name.is_empty()) {
            rule.name = format!("access.rules[{index}]");
        }
        Self { default: config.default, rules }
    }

    /// Whether the user may do it, and by which rule.
    ///
    /// # Errors
    /// 403 naming the rule.
    pub fn decide(&self, info: &RequestInfo, user: &User) -> Result<Decision, Refusal> {
        let rule = self.rules.iter().find(|rule| matches(rule, info, user));
        let (effect, name) =
            rule.map_or((self.default, "access.default"), |rule| (rule.effect, rule.name.as_str()));
        if effect == Effect::Allow {
            return Ok(Decision { allowed: true, rule: name.to_owned(), message: String::new() });
        }
        let what = if info.is_resource_request { info.full_resource() } else { info.path.clone() };
        let wide = rule.is_some_and(|rule| !names(rule, info));
        let way =
            if wide { ", which reaches into what it withholds; ask for a namespace or a name" } else { "" };
        let said = rule.map(|rule| rule.message.as_str()).filter(|message| !message.is_empty());
        let why = match said {
            Some(message) => format!("{name} refuses to {} {what}{way}: {message}", info.verb),
            None => format!("{name} refuses to {} {what}{way}", info.verb),
        };
        Err(Refusal::forbidden(name, "rule", &why))
    }
}

fn matches(rule: &AccessRule, info: &RequestInfo, user: &User) -> bool {
    let subject = rule.subjects.as_ref().is_none_or(|subjects| {
        any_of(&subjects.users, &user.username)
            || user.groups.iter().any(|group| any_of(&subjects.groups, group))
    });
    if !subject || !any_of(&rule.verbs, &info.verb) {
        return false;
    }
    if !info.is_resource_request {
        return url(&rule.non_resource_urls, info);
    }
    any_of(&rule.api_groups, &info.api_group)
        && resource(&rule.resources, info, false)
        && (names(rule, info) || (rule.effect == Effect::Deny && reaches(rule, info)))
}

/// Whether the rule is about the request's namespace and name.
fn names(rule: &AccessRule, info: &RequestInfo) -> bool {
    !info.is_resource_request
        || any_of(&rule.namespaces, &info.namespace)
            && (rule.resource_names.is_empty() || rule.resource_names.contains(&info.name))
}

/// Whether the request is for many objects, and those that the rule is about are among them. What is denied in one
/// namespace, or by one name, must not be had through a list of all.
fn reaches(rule: &AccessRule, info: &RequestInfo) -> bool {
    let named = || rule.resource_names.is_empty() || rule.resource_names.contains(&info.name);
    matches!(info.verb.as_str(), "list" | "watch" | "deletecollection")
        && (info.namespace.is_empty() || any_of(&rule.namespaces, &info.namespace))
        && (info.name.is_empty() || named())
}
