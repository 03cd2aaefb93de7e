//! The words of rules. One that matches nothing is an error: an operator would believe that it does.

use super::check::Problems;

/// Checks what one rule names.
pub(super) struct Words<'p> {
    path: String,
    problems: &'p mut Problems,
}

/// Kubernetes' verbs for objects.
const VERBS: [&str; 8] = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
/// The lower-case methods that are the verbs of other URLs.
const METHODS: [&str; 6] = ["get", "head", "post", "put", "patch", "delete"];

impl<'p> Words<'p> {
    /// Of the rule at this path.
    pub(super) fn of(path: String, problems: &'p mut Problems) -> Self {
        Self { path, problems }
    }

    fn each(&mut self, field: &str, words: &[String], fits: impl Fn(&str) -> bool, what: &str) {
        for (index, word) in words.iter().enumerate() {
            if !fits(word) {
                let path = format!("{}.{field}[{index}]", self.path);
                self.problems.add(path, format!("{word:?} can't match anything: {what}"));
            }
        }
    }

    pub(super) fn verbs(&mut self, verbs: &[String]) {
        let fits = |verb: &str| verb == "*" || VERBS.contains(&verb) || METHODS.contains(&verb);
        let what = format!("use *, {}, or for other URLs {}", VERBS.join(", "), METHODS.join(", "));
        self.each("verbs", verbs, fits, &what);
    }

    pub(super) fn resources(&mut self, resources: &[String]) {
        let part = |text: &str| {
            text == "*"
                || !text.is_empty()
                    && text
                        .bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b))
        };
        let fits = |resource: &str| match resource.split_once('/') {
            Some((resource, subresource)) => part(resource) && part(subresource),
            None => part(resource),
        };
        self.each(
            "resources",
            resources,
            fits,
            "use the plural in lower case, as in pods, pods/exec, */scale or *",
        );
    }

    pub(super) fn groups(&mut self, groups: &[String]) {
        let fits = |group: &str| {
            let version =
                group.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
            group == "*"
                || !version && !group.contains(['/', '*']) && !group.bytes().any(|b| b.is_ascii_uppercase())
        };
        self.each(
            "apiGroups",
            groups,
            fits,
            "use a group without its version, \"\" for the core group, or *",
        );
    }

    pub(super) fn namespaces(&mut self, namespaces: &[String]) {
        let fits = |name: &str| {
            name == "*" || !name.contains(['*', '/']) && !name.bytes().any(|b| b.is_ascii_uppercase())
        };
        self.each("namespaces", namespaces, fits, "use a namespace's name; * stands alone");
    }

    pub(super) fn urls(&mut self, urls: &[String]) {
        let fits = |url: &str| {
            let path = url.strip_suffix('*').unwrap_or(url);
            url == "*" || path.starts_with('/') && !path.contains('*')
        };
        self.each("nonResourceURLs", urls, fits, "use a path that begins with /, with * at its end at most");
    }
}
