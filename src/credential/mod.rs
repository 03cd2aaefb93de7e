//! What goes upstream instead of the agent's token: the token from the environment, or one that the API server mints for
//! the agent's service account; and, where configured, who the agent is, in `Impersonate-*` headers.
//!
//! [`Credentials`] is the room's centre. An exchange asks [`Credentials::token_for`]; where that says [`Lookup::Mint`] it
//! sends the [`Mint`] and comes back with the answer.

mod impersonation;
mod minter;

#[cfg(test)]
mod tests;

pub use impersonation::impersonation;
pub use minter::Mint;

use crate::config::{Credential, Secret};
use crate::exchange::{Answer, Callout};
use crate::identity::Identity;
use crate::kube::Refusal;
use chaperone_record::{Timestamp, UpstreamCredential};
use minter::Minter;
use std::rc::Rc;

/// A token for upstream.
#[derive(Debug)]
pub struct UpstreamToken {
    /// The token.
    pub value: Secret,
    /// Whose it is, for the record; none for the one from the environment.
    pub minted: Option<UpstreamCredential>,
}

/// Where an agent's upstream token is.
#[derive(Debug)]
pub enum Lookup {
    /// Here.
    Ready(Rc<UpstreamToken>),
    /// To be asked for first.
    Mint(Mint),
}

/// All upstream credentials of a worker.
pub struct Credentials {
    from_environment: Rc<UpstreamToken>,
    minter: Option<Minter>,
    impersonate: bool,
}

impl Credentials {
    /// From the configuration. `most` bounds the minted tokens that are kept.
    pub fn new(config: &Credential, most: usize) -> Self {
        let value = config.bearer_token.value.clone().unwrap_or_else(|| Secret::new(""));
        Self {
            minter: config
                .token_request
                .as_ref()
                .map(|request| Minter::new(request.clone(), value.clone(), most)),
            from_environment: Rc::new(UpstreamToken { value, minted: None }),
            impersonate: config.impersonate,
        }
    }

    /// Whether `Impersonate-*` headers go upstream.
    pub fn impersonates(&self) -> bool {
        self.impersonate
    }

    /// The token for an agent.
    ///
    /// # Errors
    /// 403 where no service account is meant for it, 503 where minting has just failed.
    pub fn token_for(&mut self, now: Timestamp, identity: &Identity) -> Result<Lookup, Refusal> {
        match &mut self.minter {
            Some(minter) => minter.token_for(now, identity),
            None => Ok(Lookup::Ready(self.from_environment.clone())),
        }
    }

    /// Tokens to renew: those in use that end soon.
    pub fn poll(&mut self, now: Timestamp) -> Vec<Mint> {
        self.minter.as_mut().map(|minter| minter.renewals(now)).unwrap_or_default()
    }

    /// The request that asks for a token. `id` tells it from others.
    pub fn callout(&self, mint: &Mint, id: u64) -> Option<Callout> {
        self.minter.as_ref()?.callout(mint, id)
    }

    /// The answer to it.
    ///
    /// # Errors
    /// 503: there is no token, so nothing can go upstream.
    pub fn minted(
        &mut self,
        now: Timestamp,
        mint: &Mint,
        answer: &Answer,
    ) -> Result<Rc<UpstreamToken>, Refusal> {
        match &mut self.minter {
            Some(minter) => minter.minted(now, mint, answer),
            None => Ok(self.from_environment.clone()),
        }
    }

    /// The API server did not take this token: another is asked for next time.
    pub fn rejected(&mut self, token: &Rc<UpstreamToken>) {
        if let Some(minter) = &mut self.minter {
            minter.forget(token);
        }
    }
}
