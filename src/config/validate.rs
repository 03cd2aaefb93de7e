//! What the table of shapes cannot say: values that must fit together, and secrets read from the environment.

use super::check::Problems;
use super::words::Words;
use super::{
    AttributionSources, Authentication, Credential, FilterConfig, FromEnv, Masking, Recording, Secret,
};

pub(super) fn validate(
    config: &mut FilterConfig,
    env: &dyn Fn(&str) -> Option<String>,
    problems: &mut Problems,
) {
    authentication(&mut config.authentication, problems);
    attribution(&mut config.attribution, problems);
    credential(&mut config.credential, env, problems);
    access(config, problems);
    masking(&config.masking, problems);
    recording(&mut config.recording, env, problems);
    // What only the rooms themselves can tell: key sets, URLs, patterns.
    let rooms = [
        crate::identity::Authenticator::new(&config.authentication).err(),
        crate::mask::MaskRules::compile(&config.masking).err(),
    ];
    for problem in rooms.into_iter().flatten().flatten() {
        problems.add(problem.path, problem.message);
    }
}

fn authentication(section: &mut Authentication, problems: &mut Problems) {
    if section.jwt.is_empty() {
        problems.add("authentication.jwt", "needs at least one issuer: without one nobody could be let in");
    }
    let mut seen: Vec<String> = Vec::new();
    for (index, jwt) in section.jwt.iter_mut().enumerate() {
        let path = format!("authentication.jwt[{index}]");
        let issuer = &mut jwt.issuer;
        if !visible(&issuer.url) {
            problems.add(format!("{path}.issuer.url"), "must be what the tokens have as iss, without spaces");
        }
        if issuer.audiences.iter().any(String::is_empty) {
            problems.add(format!("{path}.issuer.audiences"), "must not name an empty audience");
        }
        if seen.contains(&issuer.url) {
            problems.add(format!("{path}.issuer.url"), "is another issuer's URL too; each issuer once");
        }
        seen.push(issuer.url.clone());
        if issuer.audiences.is_empty() {
            problems.add(
                format!("{path}.issuer.audiences"),
                "needs at least one audience: tokens for other services must not be taken",
            );
        }
        if issuer.algorithms.is_empty() {
            problems.add(format!("{path}.issuer.algorithms"), "needs at least one algorithm");
        }
        if issuer.jwks.is_none() {
            if issuer.cluster.is_empty() {
                problems.add(
                    format!("{path}.issuer.cluster"),
                    "is required unless jwks is given: name the Envoy cluster the keys are fetched through",
                );
            }
            if issuer.discovery_url.is_empty() {
                issuer.discovery_url =
                    format!("{}/.well-known/openid-configuration", issuer.url.trim_end_matches('/'));
            }
            let http =
                issuer.discovery_url.starts_with("https://") || issuer.discovery_url.starts_with("http://");
            if !http {
                problems.add(
                    format!("{path}.issuer.discoveryURL"),
                    "must be an http or https URL; where the issuer's own is not, set it here",
                );
            }
        }
        for (name, claim) in [
            ("username", &jwt.claim_mappings.username.claim),
            ("groups", &jwt.claim_mappings.groups.claim),
            ("uid", &jwt.claim_mappings.uid.claim),
        ] {
            if claim.is_empty() {
                problems.add(format!("{path}.claimMappings.{name}.claim"), "must not be empty");
            }
        }
    }
}

fn attribution(section: &mut AttributionSources, problems: &mut Problems) {
    for (name, sources) in [
        ("agent", &mut section.agent),
        ("session", &mut section.session),
        ("model", &mut section.model),
        ("prompt", &mut section.prompt),
    ] {
        for (index, source) in sources.iter_mut().enumerate() {
            let one = source.claim.is_some() != source.header.is_some();
            if !one {
                problems.add(format!("attribution.{name}[{index}]"), "needs either claim or header");
            }
            if source.claim.as_ref().is_some_and(|claim| claim.split('.').any(str::is_empty)) {
                problems.add(format!("attribution.{name}[{index}].claim"), "is not a claim's name");
            }
            if let Some(header) = &mut source.header {
                header.make_ascii_lowercase();
                let token = header.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
                let framing = ["content-type", "content-length", "transfer-encoding", "host", "accept"];
                if framing.contains(&header.as_str()) {
                    problems.add(
                        format!("attribution.{name}[{index}].header"),
                        "belongs to the request itself: a source of attribution is not forwarded",
                    );
                }
                if header.is_empty() || !token {
                    problems.add(format!("attribution.{name}[{index}].header"), "is not a header name");
                }
                let credential = ["authorization", "cookie", "proxy-authorization", "sec-websocket-protocol"]
                    .contains(&header.as_str());
                if credential || header.starts_with("impersonate-") || header.starts_with("x-remote-") {
                    problems.add(
                        format!("attribution.{name}[{index}].header"),
                        "carries credentials or another identity, and can't be a source",
                    );
                }
            }
        }
    }
    for (index, requirement) in section.require.iter().enumerate() {
        if requirement.values.is_empty() {
            problems.add(format!("attribution.require[{index}].values"), "needs at least one value");
        }
        if requirement.verbs.is_empty() {
            problems.add(
                format!("attribution.require[{index}].verbs"),
                "matches nothing; leave it out to mean all",
            );
        }
        Words::of(format!("attribution.require[{index}]"), problems).verbs(&requirement.verbs);
    }
}

fn credential(section: &mut Credential, env: &dyn Fn(&str) -> Option<String>, problems: &mut Problems) {
    resolve(&mut section.bearer_token, "credential.bearerToken.env", env, problems);
    let Some(request) = &mut section.token_request else { return };
    if request.cluster.is_empty() {
        problems
            .add("credential.tokenRequest.cluster", "must not be empty: name the API server's Envoy cluster");
    }
    if request.authority.is_empty() {
        request.authority.clone_from(&request.cluster);
    }
    if request.rules.is_empty() {
        problems.add(
            "credential.tokenRequest.rules",
            "needs at least one rule: without one every agent is refused",
        );
    }
    for (index, rule) in request.rules.iter().enumerate() {
        let path = format!("credential.tokenRequest.rules[{index}]");
        if rule.groups.is_empty() {
            problems.add(format!("{path}.groups"), "needs at least one group, or *");
        }
        for (field, name) in [("serviceAccount", &rule.service_account), ("namespace", &rule.namespace)] {
            // They stand in a URL; these are the characters that the API server allows (RFC 1123 subdomains).
            let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
            if name.is_empty() || !name.bytes().all(fits) {
                problems.add(format!("{path}.{field}"), "is not the name of a Kubernetes object");
            }
        }
    }
}

/// Reads the variable. The value goes into a header, so it must be visible ASCII; a trailing newline, as files mounted
/// from Secrets often have, is taken off.
fn resolve(from: &mut FromEnv, path: &str, env: &dyn Fn(&str) -> Option<String>, problems: &mut Problems) {
    let value = env(&from.env).unwrap_or_default();
    let value = value.trim_end_matches(['\n', '\r']);
    if from.env.is_empty() {
        problems.add(path, "must name an environment variable");
    } else if value.is_empty() {
        problems.add(path, format!("the environment variable {} is not set; list it in the VM's environment (Envoy host_env_keys, Istio vmConfig.env)", from.env));
    } else if !value.bytes().all(|b| b.is_ascii_graphic()) {
        problems.add(
            path,
            format!(
                "the value of {} has spaces or characters that can't stand in a token; leave out \"Bearer \"",
                from.env
            ),
        );
    } else {
        from.value = Some(Secret::new(value));
    }
}

fn access(config: &FilterConfig, problems: &mut Problems) {
    for (index, rule) in config.access.rules.iter().enumerate() {
        let path = format!("access.rules[{index}]");
        match (rule.resources.is_empty(), rule.non_resource_urls.is_empty()) {
            (true, true) => problems.add(path.as_str(), "needs resources or nonResourceURLs"),
            (false, false) => {
                problems.add(path.as_str(), "can't have both resources and nonResourceURLs: write two rules")
            }
            _ => {}
        }
        let mut words = Words::of(path.clone(), problems);
        words.verbs(&rule.verbs);
        words.groups(&rule.api_groups);
        words.resources(&rule.resources);
        words.namespaces(&rule.namespaces);
        words.urls(&rule.non_resource_urls);
        if rule
            .subjects
            .as_ref()
            .is_some_and(|subjects| subjects.users.is_empty() && subjects.groups.is_empty())
        {
            problems.add(format!("{path}.subjects"), "names nobody; leave it out to mean everyone");
        }
        if rule.verbs.is_empty() || rule.api_groups.is_empty() || rule.namespaces.is_empty() {
            problems.add(
                path.as_str(),
                "an empty verbs, apiGroups or namespaces matches nothing; leave it out to mean all",
            );
        }
    }
}

/// Whether a text can stand in a request line or header as it is.
fn visible(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn masking(section: &Masking, problems: &mut Problems) {
    for (index, one) in section.resources.iter().enumerate() {
        let path = format!("masking.resources[{index}]");
        let mut words = Words::of(path.clone(), problems);
        words.groups(&one.api_groups);
        words.resources(&one.resources);
        if one.resources.iter().any(|resource| resource.contains('/')) {
            problems.add(
                format!("{path}.resources"),
                "names a subresource: fields are masked wherever the resource is read or written, so name the resource alone",
            );
        }
    }
    let text = &section.replacement;
    let printable = text.bytes().all(|b| (b.is_ascii_graphic() || b == b' ') && b != b'"' && b != b'\\');
    if !printable {
        problems.add("masking.replacement", "must be printable ASCII without quotes and backslashes");
    }
    if text.len() < 9 || !text.len().is_multiple_of(3) {
        problems.add("masking.replacement", format!("is {} bytes; must be at least 9 and a multiple of 3, so that its base64 has one form and can't be met by chance", text.len()));
    }
}

fn recording(section: &mut Recording, env: &dyn Fn(&str) -> Option<String>, problems: &mut Problems) {
    if section.collector.cluster.is_empty() {
        problems.add("recording.collector.cluster", "must not be empty");
    }
    if section.collector.authority.is_empty() {
        section.collector.authority = section.collector.cluster.clone();
    }
    if !section.collector.path.starts_with('/') || !visible(&section.collector.path) {
        problems.add("recording.collector.path", "must be a path: begin with /, without spaces");
    }
    if !visible(&section.collector.authority) {
        problems.add("recording.collector.authority", "must be a host name, and a port where one is needed");
    }
    resolve(&mut section.collector.token, "recording.collector.token.env", env, problems);
    signing_key(&mut section.signing_key, env, problems);
    for (index, rule) in section.rules.iter().enumerate() {
        let path = format!("recording.rules[{index}]");
        let resources = !rule.resources.is_empty() || !rule.namespaces.is_empty();
        if resources && !rule.non_resource_urls.is_empty() {
            problems.add(
                path.as_str(),
                "can't have both nonResourceURLs and resources or namespaces: write two rules",
            );
        }
        let mut words = Words::of(path.clone(), problems);
        words.verbs(&rule.verbs);
        words.namespaces(&rule.namespaces);
        words.urls(&rule.non_resource_urls);
        for (index, group) in rule.resources.iter().enumerate() {
            let mut words = Words::of(format!("{path}.resources[{index}]"), problems);
            words.groups(std::slice::from_ref(&group.group));
            words.resources(&group.resources);
        }
    }
    let limits = &section.limits;
    if limits.batch_bytes.saturating_mul(2) > limits.outbox_bytes {
        problems.add("recording.limits.outboxBytes", "must be at least twice batchBytes");
    }
}

fn signing_key(from: &mut FromEnv, env: &dyn Fn(&str) -> Option<String>, problems: &mut Problems) {
    const PATH: &str = "recording.signingKey.env";
    let value = env(&from.env).unwrap_or_default();
    if value.trim().is_empty() {
        problems.add(PATH, format!("the environment variable {} is not set; list it in the VM's environment (Envoy host_env_keys, Istio vmConfig.env)", from.env));
    } else if crate::record::SigningKey::parse(value.trim().as_bytes()).is_none() {
        problems.add(PATH, format!("the value of {} is not an Ed25519 private key: PKCS#8 PEM as `openssl genpkey -algorithm ed25519` writes it, or its DER in base64", from.env));
    } else {
        from.value = Some(Secret::new(value.trim()));
    }
}
