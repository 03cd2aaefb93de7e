//! What a request's body must not hold: masks on their way back, patches that read Secrets, Secrets that the cluster would
//! fill with a credential.

use super::Gateway;
use crate::access::{BodyGuard, refusal};
use crate::kube::{Refusal, RequestHead, RequestInfo};
use crate::mask::patch::{JSON_PATCH, check_secret_patch};
use crate::mask::secret_type::{BOOTSTRAP_TOKEN, SERVICE_ACCOUNT_TOKEN, secret_type};
use crate::mask::write_back::{BodyFormat, WriteBackGuard};

/// The API server takes no larger request bodies (3 MiB).
const MOST_INSPECTED: usize = 3 << 20;

/// The guards on one request's body.
#[derive(Default)]
pub(super) struct BodyGuards {
    content_type: String,
    /// What to do about a mask in the body.
    advice: &'static str,
    write_back: Option<WriteBackGuard>,
    /// The whole body, where a guard needs all of it.
    whole: Option<Vec<u8>>,
    json_patch: bool,
    secret_type: bool,
}

impl BodyGuards {
    /// The guards that this request's body has to pass.
    pub(super) fn new(gateway: &Gateway, info: &RequestInfo, head: &RequestHead) -> Self {
        let content_type =
            head.value("content-type").map(String::from_utf8_lossy).unwrap_or_default().into_owned();
        let write = matches!(info.verb.as_str(), "create" | "update" | "patch");
        let on = |guard| gateway.guards.checks(guard);
        let is_json_patch = content_type.split(';').next().unwrap_or_default().trim() == JSON_PATCH;
        let masked = info.is_secret() || gateway.mask.extra(info).fields.is_some();
        let json_patch = write && masked && is_json_patch && on(BodyGuard::SecretJsonPatch);
        let secret_type = write && info.is_secret() && !is_json_patch && on(BodyGuard::ServiceAccountSecrets);
        let write_back = write && on(BodyGuard::MaskWriteBack);
        Self {
            write_back: write_back
                .then(|| WriteBackGuard::new(gateway.mask.sentinel.clone(), BodyFormat::of(&content_type))),
            whole: (json_patch || secret_type).then(Vec::new),
            content_type,
            // What an update leaves out is deleted.
            advice: match info.verb.as_str() {
                "update" => "send a patch without it, or set the value itself",
                _ => "leave it out, or set the value itself",
            },
            json_patch,
            secret_type,
        }
    }

    /// Whether the body must be held back until all of it has been looked at.
    pub(super) fn need_all(&self) -> bool {
        self.whole.is_some()
    }

    /// The request's `Content-Type`.
    pub(super) fn content_type(&self) -> &str {
        &self.content_type
    }

    /// Looks at the next bytes.
    pub(super) fn push(&mut self, chunk: &[u8]) -> Result<(), Refusal> {
        if let Some(guard) = &mut self.write_back {
            guard.push(chunk).map_err(|found| {
                let why = format!("{found}; {}", self.advice);
                Refusal::invalid("guard:mask-write-back", "maskWriteBack", &why)
            })?;
        }
        if let Some(whole) = &mut self.whole {
            if whole.len().saturating_add(chunk.len()) > MOST_INSPECTED {
                return Err(Refusal::too_large(
                    "bodyTooLarge",
                    "the body of a request to what is masked must be under 3 MiB",
                ));
            }
            whole.extend_from_slice(chunk);
        }
        Ok(())
    }

    /// The body is whole.
    pub(super) fn finish(&mut self) -> Result<(), Refusal> {
        let Some(whole) = self.whole.take().filter(|whole| !whole.is_empty()) else { return Ok(()) };
        if self.json_patch {
            check_secret_patch(&whole).map_err(|found| {
                Refusal::invalid("guard:secret-json-patch", "secretJsonPatch", &found.to_string())
            })?;
        }
        if self.secret_type {
            let kind = secret_type(&whole, &self.content_type).map_err(|unclear| {
                Refusal::invalid("guard:service-account-secrets", "secretType", &unclear.to_string())
            })?;
            let why = match kind.as_deref() {
                Some(SERVICE_ACCOUNT_TOKEN) => {
                    "the cluster would fill a Secret of this type with a service account's token"
                }
                Some(BOOTSTRAP_TOKEN) => "the cluster would take a Secret of this type for a credential",
                _ => return Ok(()),
            };
            return Err(refusal(BodyGuard::ServiceAccountSecrets.name(), why));
        }
        Ok(())
    }
}
