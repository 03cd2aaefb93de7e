//! How a request is recorded: rules like the audit `Policy`'s, the first that matches decides.

use super::matching::{any_of, resource, url};
use crate::config::{Delivery, Level, RecordingRule};
use crate::kube::RequestInfo;
use chaperone_record::User;

/// `recording.rules`.
pub struct RecordingPolicy(Vec<RecordingRule>);

impl RecordingPolicy {
    /// From the configuration.
    pub fn compile(rules: &[RecordingRule]) -> Self {
        Self(rules.to_vec())
    }

    /// How much is written down, and how surely. What no rule matches is recorded whole, and confirmed where it may
    /// change something or is about Secrets.
    pub fn decide(&self, info: &RequestInfo, user: &User) -> (Level, Delivery) {
        if let Some(rule) = self.0.iter().find(|rule| matches(rule, info, user)) {
            return (rule.level, rule.delivery);
        }
        let confirmed = info.is_write() || info.is_secret();
        (Level::RequestResponse, if confirmed { Delivery::Confirmed } else { Delivery::Buffered })
    }
}

/// An absent condition matches everything.
fn matches(rule: &RecordingRule, info: &RequestInfo, user: &User) -> bool {
    let absent_or = |wanted: &[String], value: &str| wanted.is_empty() || any_of(wanted, value);
    if !absent_or(&rule.users, &user.username) || !absent_or(&rule.verbs, &info.verb) {
        return false;
    }
    if !rule.user_groups.is_empty() && !user.groups.iter().any(|group| any_of(&rule.user_groups, group)) {
        return false;
    }
    if !info.is_resource_request {
        let about_resources = !rule.resources.is_empty() || !rule.namespaces.is_empty();
        return !about_resources && (rule.non_resource_urls.is_empty() || url(&rule.non_resource_urls, info));
    }
    if !rule.non_resource_urls.is_empty() || !absent_or(&rule.namespaces, &info.namespace) {
        return false;
    }
    rule.resources.is_empty()
        || rule.resources.iter().any(|group| {
            group.group == info.api_group
                && (group.resources.is_empty() || resource(&group.resources, info, true))
                && absent_or(&group.resource_names, &info.name)
        })
}
