//! An OpenID Connect issuer that asks nobody anything: discovery, keys, and a token endpoint that checks the client's
//! secret, the code and PKCE. What a browser would do at its login page, [`Issuer::code`] does.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::{Engine as _, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

pub const CLIENT: &str = "chaperone";
pub const CLIENT_SECRET: &str = "client-secret-0123456789";

/// A code that was given out: the PKCE challenge, and what the ID token will say.
type Codes = HashMap<String, (String, Value)>;

pub struct Issuer {
    pub url: String,
    state: Arc<Shared>,
    /// Ends the server when it is dropped.
    _runtime: tokio::runtime::Runtime,
}

struct Shared {
    url: String,
    key: SigningKey,
    codes: Mutex<Codes>,
}

impl Issuer {
    pub fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let key = SigningKey::from_bytes(&[7; 32]);
        let state = Arc::new(Shared { url: url.clone(), key, codes: Mutex::default() });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(jwks))
            .route("/token", post(token))
            .with_state(state.clone());
        runtime.spawn(async { axum::serve(listener, router).await });
        Self { url, state, _runtime: runtime }
    }

    /// Somebody logs in there: the code for the redirect URL that the collector made. `claims` go over what is right.
    pub fn code(&self, asked: &HashMap<String, String>, claims: Value) -> String {
        assert_eq!(asked["client_id"], CLIENT);
        assert_eq!((&*asked["response_type"], &*asked["code_challenge_method"]), ("code", "S256"));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let said = json!({
            "iss": self.url, "aud": CLIENT, "sub": "00u1", "preferred_username": "alice", "iat": now, "exp": now + 300,
            "nonce": asked["nonce"],
        });
        let mut codes = self.state.codes.lock().unwrap();
        let code = format!("code-{}", codes.len());
        codes.insert(code.clone(), (asked["code_challenge"].clone(), crate::support::with(said, claims)));
        code
    }
}

async fn discovery(State(issuer): State<Arc<Shared>>) -> Json<Value> {
    let url = &issuer.url;
    Json(json!({
        "issuer": url, "authorization_endpoint": format!("{url}/authorize"), "token_endpoint": format!("{url}/token"),
        "jwks_uri": format!("{url}/jwks"), "response_types_supported": ["code"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["EdDSA"],
    }))
}

async fn jwks(State(issuer): State<Arc<Shared>>) -> Json<Value> {
    let x = URL_SAFE_NO_PAD.encode(issuer.key.verifying_key().to_bytes());
    Json(
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "k", "use": "sig", "alg": "EdDSA"}]}),
    )
}

async fn token(
    State(issuer): State<Arc<Shared>>,
    headers: HeaderMap,
    body: String,
) -> Result<Json<Value>, (StatusCode, Json<Value>)> {
    let refused = |why| (StatusCode::BAD_REQUEST, Json(json!({"error": why})));
    let basic = format!("Basic {}", STANDARD.encode(format!("{CLIENT}:{CLIENT_SECRET}")));
    if headers.get("authorization").is_none_or(|sent| *sent != *basic) {
        return Err(refused("invalid_client"));
    }
    let sent: HashMap<String, String> = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let (challenge, claims) =
        issuer.codes.lock().unwrap().remove(&sent["code"]).ok_or(refused("invalid_grant"))?;
    if URL_SAFE_NO_PAD.encode(Sha256::digest(&sent["code_verifier"])) != challenge {
        return Err(refused("invalid_grant"));
    }
    let header = URL_SAFE_NO_PAD.encode(json!({"alg": "EdDSA", "kid": "k"}).to_string());
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = URL_SAFE_NO_PAD.encode(issuer.key.sign(message.as_bytes()).to_bytes());
    Ok(Json(
        json!({"access_token": "a", "token_type": "Bearer", "id_token": format!("{message}.{signature}")}),
    ))
}
