//! Who the agent is, told to the API server in its own impersonation headers
//! (k8s.io/api/authentication/v1 `ImpersonateUserHeader` and its siblings).

use crate::identity::Identity;
use crate::kube::Refusal;
use chaperone_record::Attribution;

type Header = (Vec<u8>, Vec<u8>);

/// The headers, each group its own. Extra keys are percent-encoded, as the API server decodes them.
///
/// # Errors
/// 403 for a user or group that begins with `system:`: those names are the cluster's own (`system:masters` is its
/// administrators), and no identity provider may hand them out. 403 also for a name that cannot stand in a header.
pub fn impersonation(
    identity: &Identity,
    session: &str,
    attribution: &Attribution,
) -> Result<Vec<Header>, Refusal> {
    let user = &identity.user;
    for name in user.groups.iter().chain([&user.username]) {
        if name.starts_with("system:") {
            return Err(refused("system: names are the cluster's own; give the claim mapping a prefix"));
        }
    }
    let mut headers = vec![header("impersonate-user", &user.username)];
    headers.extend(user.groups.iter().map(|group| header("impersonate-group", group)));
    if !user.uid.is_empty() {
        headers.push(header("impersonate-uid", &user.uid));
    }
    let value = |attributed: &Option<chaperone_record::Attributed>| {
        attributed.as_ref().map(|attributed| attributed.value.clone()).unwrap_or_default()
    };
    let extra = [
        ("session", session.to_owned()),
        ("agent", value(&attribution.agent)),
        ("model", value(&attribution.model)),
    ];
    for (key, value) in extra {
        if !value.is_empty() {
            headers.push(header(&format!("impersonate-extra-chaperone.dev%2f{key}"), &value));
        }
    }
    let readable = |(_, value): &Header| {
        !value.is_empty()
            && !value.iter().any(|byte| byte.is_ascii_control())
            && value.trim_ascii() == value.as_slice()
    };
    if headers.iter().all(readable) { Ok(headers) } else { Err(refused("the name can't stand in a header")) }
}

fn header(name: &str, value: &str) -> Header {
    (name.as_bytes().to_vec(), value.as_bytes().to_vec())
}

fn refused(why: &str) -> Refusal {
    Refusal::forbidden(
        "credential.impersonate",
        "credential",
        &format!("your user or one of your groups can't be impersonated: {why}"),
    )
}
