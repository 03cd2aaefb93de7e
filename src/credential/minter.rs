//! Minted tokens: one for each agent and service account, kept while it is good, renewed before it ends.

use super::{Lookup, UpstreamToken};
use crate::config::{MintRule, Secret, TokenRequest};
use crate::exchange::{Answer, Callout, Purpose};
use crate::identity::Identity;
use crate::kube::Refusal;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chaperone_record::{Timestamp, UpstreamCredential};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// For one TokenRequest.
const TIMEOUT: Duration = Duration::from_secs(5);
/// A token this near to its end is not sent any more: the clocks may differ, and the request takes time.
const MARGIN: Duration = Duration::from_secs(10);
/// After a failure agents are refused for so long without asking again.
const PAUSE: Duration = Duration::from_secs(1);
/// Longer tokens are no service account's.
const MOST_TOKEN_BYTES: usize = 16 << 10;

/// A token to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mint {
    holder: Holder,
}

/// Who acts as whom: the agent, by issuer and username, and the rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Holder {
    issuer: String,
    username: String,
    rule: usize,
}

/// What is known of one holder's token.
enum Held {
    Token(Lease),
    Failed { until: Timestamp },
}

struct Lease {
    token: Rc<UpstreamToken>,
    renew: Timestamp,
    end: Timestamp,
    /// Whether it was asked for since it was minted: what nobody uses is not renewed.
    used: bool,
    renewing: bool,
}

pub(super) struct Minter {
    config: TokenRequest,
    bootstrap: Secret,
    held: BTreeMap<Holder, Held>,
    most: usize,
}

/// What matters of an `authentication.k8s.io/v1` TokenRequest that was answered.
#[derive(Deserialize)]
struct Granted {
    status: GrantedStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GrantedStatus {
    token: String,
    expiration_timestamp: String,
}

impl Minter {
    pub(super) fn new(config: TokenRequest, bootstrap: Secret, most: usize) -> Self {
        Self { config, bootstrap, held: BTreeMap::new(), most: most.max(1) }
    }

    pub(super) fn token_for(&mut self, now: Timestamp, identity: &Identity) -> Result<Lookup, Refusal> {
        let groups = &identity.user.groups;
        let fits = |rule: &MintRule| rule.groups.iter().any(|group| group == "*" || groups.contains(group));
        let Some(rule) = self.config.rules.iter().position(fits) else {
            return Err(Refusal::forbidden(
                "credential.tokenRequest",
                "credential",
                "no service account is meant for any of your groups; an operator can add a rule to credential.tokenRequest.rules",
            ));
        };
        let user = &identity.user;
        let holder = Holder { issuer: user.issuer.clone(), username: user.username.clone(), rule };
        match self.held.get_mut(&holder) {
            Some(Held::Token(lease)) if now < lease.end => {
                lease.used = true;
                Ok(Lookup::Ready(lease.token.clone()))
            }
            Some(Held::Failed { until }) if now < *until => {
                Err(unavailable("the API server gave none just now"))
            }
            _ => Ok(Lookup::Mint(Mint { holder })),
        }
    }

    pub(super) fn renewals(&mut self, now: Timestamp) -> Vec<Mint> {
        self.held.retain(|_, held| match held {
            Held::Token(lease) => now < lease.end,
            Held::Failed { until } => now < *until,
        });
        let mut due = Vec::new();
        for (holder, held) in &mut self.held {
            if let Held::Token(lease) = held
                && lease.used
                && !lease.renewing
                && now >= lease.renew
            {
                lease.renewing = true;
                due.push(Mint { holder: holder.clone() });
            }
        }
        due
    }

    pub(super) fn callout(&self, mint: &Mint, id: u64) -> Option<Callout> {
        let MintRule { service_account, namespace, audiences, expiration, .. } =
            self.config.rules.get(mint.holder.rule)?;
        let body = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": audiences, "expirationSeconds": expiration.as_secs()},
        });
        let bootstrap = String::from_utf8_lossy(self.bootstrap.expose());
        Some(Callout {
            purpose: Purpose::Token(id),
            cluster: self.config.cluster.clone(),
            headers: vec![
                (":method", "POST".to_owned()),
                (":scheme", "https".to_owned()),
                (":authority", self.config.authority.clone()),
                (":path", format!("/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token")),
                ("content-type", "application/json".to_owned()),
                ("accept", "application/json".to_owned()),
                ("authorization", format!("Bearer {bootstrap}")),
            ],
            body: body.to_string().into_bytes().into(),
            timeout: TIMEOUT,
        })
    }

    pub(super) fn minted(
        &mut self,
        now: Timestamp,
        mint: &Mint,
        answer: &Answer,
    ) -> Result<Rc<UpstreamToken>, Refusal> {
        match self.lease(now, mint, answer) {
            Ok(lease) => {
                let token = lease.token.clone();
                self.make_room(&mint.holder);
                self.held.insert(mint.holder.clone(), Held::Token(lease));
                Ok(token)
            }
            Err(why) => {
                match self.held.get_mut(&mint.holder) {
                    // A renewal failed: the token is still good; the next attempt comes after a pause.
                    Some(Held::Token(lease)) if now < lease.end => {
                        lease.renewing = false;
                        lease.renew = now.later(PAUSE.saturating_mul(10));
                    }
                    _ => {
                        self.make_room(&mint.holder);
                        self.held.insert(mint.holder.clone(), Held::Failed { until: now.later(PAUSE) });
                    }
                }
                Err(unavailable(&why))
            }
        }
    }

    fn lease(&self, now: Timestamp, mint: &Mint, answer: &Answer) -> Result<Lease, String> {
        let rule = self.config.rules.get(mint.holder.rule).ok_or("its rule is gone")?;
        let account = format!("service account {}/{}", rule.namespace, rule.service_account);
        if answer.status != Some(201) {
            let status = answer.status.map_or("none".to_owned(), |status| status.to_string());
            return Err(format!("the API server gave none for {account}; answer: {status}"));
        }
        let unreadable = || format!("the API server's answer for {account} could not be read");
        let granted: Granted = serde_json::from_slice(&answer.body).map_err(|_| unreadable())?;
        let GrantedStatus { token, expiration_timestamp } = granted.status;
        let end = Timestamp::parse(&expiration_timestamp).ok_or_else(unreadable)?;
        let fits = !token.is_empty()
            && token.len() <= MOST_TOKEN_BYTES
            && token.bytes().all(|byte| byte.is_ascii_graphic());
        if !fits {
            return Err(unreadable());
        }
        let life = end.micros().saturating_sub(now.micros());
        let minted = UpstreamCredential {
            service_account: rule.service_account.clone(),
            namespace: rule.namespace.clone(),
            token_id: token_id(&token),
        };
        let usable = life.saturating_sub(u64::try_from(MARGIN.as_micros()).unwrap_or(u64::MAX));
        if usable == 0 {
            return Err(format!(
                "the API server's token for {account} has ended already; are the clocks right?"
            ));
        }
        // As the kubelet renews: after four fifths of its life.
        let renew = now.later(Duration::from_micros(usable.saturating_sub(usable / 5)));
        let token = Rc::new(UpstreamToken { value: Secret::new(token), minted: Some(minted) });
        let end = now.later(Duration::from_micros(usable));
        Ok(Lease { token, renew, end, used: false, renewing: false })
    }

    /// Where all places are taken, what ends first goes.
    fn make_room(&mut self, holder: &Holder) {
        while self.held.len() >= self.most && !self.held.contains_key(holder) {
            let ends = |held: &Held| match held {
                Held::Token(lease) => lease.end,
                Held::Failed { until } => *until,
            };
            let first = self.held.iter().min_by_key(|(_, held)| ends(held)).map(|(holder, _)| holder.clone());
            let Some(first) = first else { return };
            self.held.remove(&first);
        }
    }

    pub(super) fn forget(&mut self, token: &Rc<UpstreamToken>) {
        self.held.retain(|_, held| !matches!(held, Held::Token(lease) if Rc::ptr_eq(&lease.token, token)));
    }
}

/// The `jti` of a token that the API server has just signed; older servers set none.
fn token_id(token: &str) -> Option<String> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    Some(claims.get("jti")?.as_str()?.chars().take(256).collect())
}

fn unavailable(why: &str) -> Refusal {
    Refusal::service_unavailable(
        "credential.tokenRequest",
        "credential",
        &format!("not forwarded, because there is no upstream token: {why}; try again"),
    )
}
