//! Logging in with an OpenID Connect issuer: authorization code with PKCE, state and nonce. Its documents are fetched
//! anew for each login, so that it may be down, or change its keys, at any other time.

use crate::store::access::Role;
use crate::store::login::Flow;
use openidconnect::core::*;
use openidconnect::{
    AdditionalClaims, AuthType, AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken,
    EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse,
    IdTokenFields, IssuerUrl, Nonce, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope,
    StandardErrorResponse, StandardTokenResponse, TokenResponse as _,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::time::Duration;
use ureq::tls::{RootCerts, TlsConfig};

/// How long the issuer may take for one answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Largest answer of the issuer's.
const MAX_ANSWER: u64 = 1 << 20;

/// Longest part of a name.
const MAX_NAME: usize = 200;

/// The issuer, and who may do what.
#[derive(Clone, Debug)]
pub struct Options {
    /// `iss` of its ID tokens.
    pub issuer: IssuerUrl,
    /// What the collector is there.
    pub client_id: ClientId,
    /// What it proves that with; none for a public client.
    pub client_secret: Option<ClientSecret>,
    /// What is asked for besides `openid`.
    pub scopes: Vec<String>,
    /// The claim that has a person's groups.
    pub groups_claim: String,
    /// Whose members read records.
    pub auditor_groups: Vec<String>,
    /// Whose members are admins.
    pub admin_groups: Vec<String>,
}

/// Why nobody was logged in.
#[derive(Debug, thiserror::Error)]
pub(super) enum OidcError {
    /// It is down, or not an issuer.
    #[error("the issuer could not be asked: {0}")]
    Issuer(String),
    /// The code was not taken.
    #[error("the issuer did not take the code: {0}")]
    Code(String),
    /// The ID token is missing or not good.
    #[error("the issuer's ID token is not good: {0}")]
    Token(String),
    /// No group of theirs may read.
    #[error("{0} is in no group that may read here")]
    NoGroup(String),
}

/// All claims of an ID token beyond the standard ones.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Claims {
    #[serde(flatten)]
    all: Map<String, Value>,
}

impl AdditionalClaims for Claims {}

type Fields = IdTokenFields<
    Claims,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;

type Issuer = Client<
    Claims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    StandardTokenResponse<Fields, CoreTokenType>,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// What signs ID tokens: never a shared secret, never nothing.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

impl Options {
    /// Where to send the browser, and what its coming back is checked by. Blocks.
    pub(super) fn begin(&self, redirect: RedirectUrl, next: String) -> Result<(String, Flow), OidcError> {
        let issuer = self.discover(redirect)?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (url, state, nonce) = issuer
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                CsrfToken::new_random,
                Nonce::new_random,
            )
            .add_scopes(self.scopes.iter().cloned().map(Scope::new))
            .set_pkce_challenge(challenge)
            .url();
        let flow = Flow {
            state: state.into_secret(),
            nonce: nonce.secret().clone(),
            verifier: verifier.into_secret(),
            next,
        };
        Ok((url.into(), flow))
    }

    /// Who came back with this code. Blocks.
    pub(super) fn finish(
        &self,
        redirect: RedirectUrl,
        flow: Flow,
        code: String,
    ) -> Result<(String, Role), OidcError> {
        let issuer = self.discover(redirect)?;
        let answer = issuer
            .exchange_code(AuthorizationCode::new(code))
            .map_err(|error| OidcError::Issuer(error.to_string()))?
            .set_pkce_verifier(PkceCodeVerifier::new(flow.verifier))
            .request(&fetch)
            .map_err(|error| OidcError::Code(causes(&error)))?;
        let token = answer.id_token().ok_or_else(|| OidcError::Token("there is none".to_owned()))?;
        let verifier = issuer.id_token_verifier().set_allowed_algs(ALGORITHMS);
        let claims = token
            .claims(&verifier, &Nonce::new(flow.nonce))
            .map_err(|error| OidcError::Token(causes(&error)))?;
        let subject = claims.subject().as_str();
        let shown = claims.email().map(|email| email.as_str());
        let shown = claims.preferred_username().map(|name| name.as_str()).or(shown);
        let name = name(shown, subject);
        match self.role(&claims.additional_claims().all) {
            Some(role) => Ok((name, role)),
            None => Err(OidcError::NoGroup(name)),
        }
    }

    fn role(&self, claims: &Map<String, Value>) -> Option<Role> {
        let groups: Vec<&str> = match claims.get(&self.groups_claim)? {
            Value::String(group) => vec![group],
            Value::Array(groups) => groups.iter().filter_map(Value::as_str).collect(),
            _ => return None,
        };
        let any = |wanted: &[String]| wanted.iter().any(|group| groups.contains(&group.as_str()));
        match (any(&self.admin_groups), any(&self.auditor_groups)) {
            (true, _) => Some(Role::Admin),
            (false, true) => Some(Role::Auditor),
            (false, false) => None,
        }
    }

    fn discover(&self, redirect: RedirectUrl) -> Result<Issuer, OidcError> {
        let metadata = CoreProviderMetadata::discover(&self.issuer, &fetch)
            .map_err(|error| OidcError::Issuer(causes(&error)))?;
        // `client_secret_basic` is the default where nothing is said (OpenID Connect Discovery 1.0, section 3).
        let posted = metadata.token_endpoint_auth_methods_supported().is_some_and(|methods| {
            methods.contains(&CoreClientAuthMethod::ClientSecretPost)
                && !methods.contains(&CoreClientAuthMethod::ClientSecretBasic)
        });
        let issuer =
            Client::from_provider_metadata(metadata, self.client_id.clone(), self.client_secret.clone());
        let auth = if posted { AuthType::RequestBody } else { AuthType::BasicAuth };
        Ok(issuer.set_redirect_uri(redirect).set_auth_type(auth))
    }
}

/// What a person is called: readable, and the subject, which nobody can choose.
fn name(shown: Option<&str>, subject: &str) -> String {
    let clean = |text: &str| text.chars().filter(|c| !c.is_control()).take(MAX_NAME).collect::<String>();
    match shown {
        Some(shown) if shown != subject => format!("{} ({})", clean(shown), clean(subject)),
        _ => clean(subject),
    }
}

/// An error with what caused it.
fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// One request to the issuer; it sends nobody elsewhere.
fn fetch(request: HttpRequest) -> Result<HttpResponse, ureq::Error> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(TIMEOUT))
        .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
        .build()
        .into();
    let (parts, body) = request.into_parts();
    let answer = match body.is_empty() {
        true => agent.run(ureq::http::Request::from_parts(parts, ()))?,
        false => agent.run(ureq::http::Request::from_parts(parts, body))?,
    };
    let (parts, body) = answer.into_parts();
    let body = body.into_with_config().limit(MAX_ANSWER).read_to_vec()?;
    Ok(HttpResponse::from_parts(parts, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_always_has_the_subject() {
        for (shown, subject, expected) in [
            (Some("alice"), "1", "alice (1)"),
            (Some("1"), "1", "1"),
            (None, "1", "1"),
            (Some("al\nice"), "1\r2", "alice (12)"),
        ] {
            assert_eq!(name(shown, subject), expected);
        }
    }
}
