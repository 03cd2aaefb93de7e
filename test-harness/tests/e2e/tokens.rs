//! Tokens that are not taken, and keys that change.

use crate::support::{SOON, exchanges, status, verified};
use anyhow::{Result, ensure};
use chaperone_test_harness::issuer::{Claims, Issuer};
use chaperone_test_harness::process::eventually;
use chaperone_test_harness::stage::Stage;
use http_body_util::Full;
use hyper::Request;
use std::time::Duration;

pub const CONCURRENCY: u32 = 1;

const PODS: &str = "/api/v1/namespaces/orders/pods";

pub async fn checks(stage: &mut Stage) -> Result<()> {
    let client = stage.client()?;
    let stranger = Issuer::start().await?;
    let agent = || Claims::new("mallory").session("refused");
    for (case, token, said) in [
        ("expired", Some(stage.issuer.mint(&agent().expired_ago(Duration::from_secs(120)))), "expired"),
        ("another audience", Some(stage.issuer.mint(&agent().audience("billing"))), "audience"),
        ("another issuer", Some(stranger.mint(&agent())), "issuer"),
        ("not a token", Some("s3cr3t-looking-thing".to_owned()), "token"),
        ("no token", None, "token"),
    ] {
        let before = stage.arrivals().len();
        let with_token = token.as_ref().map_or_else(|| client.clone(), |token| client.with_token(token));
        let answer = with_token.get(PODS).await?;
        let message = status(&answer, 401, "Unauthorized")?;
        ensure!(message.contains(said), "{case}: no {said:?} in {message:?}");
        let challenge = answer.headers.get("www-authenticate").and_then(|value| value.to_str().ok());
        ensure!(challenge.is_some_and(|text| text.starts_with("Bearer")), "{case}: {challenge:?}");
        if let Some(token) = &token {
            ensure!(!answer.text().contains(token), "{case}: the token is in the answer");
        }
        ensure!(
            stage.arrivals()[before..].iter().all(|arrival| arrival.uri != PODS),
            "{case}: it went upstream"
        );
    }
    let valid = stage.issuer.mint(&stage.agent("alice", "tokens"));
    let twice = Request::get(PODS)
        .header("authorization", format!("Bearer {valid}"))
        .header("authorization", format!("Bearer {valid}"));
    status(&client.send(twice.body(Full::default())?).await?, 401, "Unauthorized")?;

    // kubectl says it in words that a person can act on.
    let expired = stage.issuer.mint(&agent().expired_ago(Duration::from_secs(120)));
    let kubectl = stage.kubectl("expired", Some(&expired))?;
    let said = kubectl.run("get pods -n orders").await?.refused()?;
    ensure!(said.contains("You must be logged in to the server"), "{said}");
    // While it discovers the API, kubectl has words of its own for a 401; else it prints the server's.
    let said = kubectl.run(&format!("get --raw {PODS}")).await?.refused()?;
    ensure!(said.contains("expired"), "{said}");
    ensure!(client.with_token(&valid).get(PODS).await?.status == 200, "a valid token is refused");

    rotation(stage, &valid).await?;
    exchanges(stage, "tokens", |all| !all.is_empty()).await?;
    verified(stage).await
}

/// The issuer signs with new keys: their tokens are taken soon, and those of the old keys no more.
async fn rotation(stage: &Stage, old: &str) -> Result<()> {
    let client = stage.client()?;
    stage.issuer.rotate();
    let new = client.with_token(&stage.issuer.mint(&stage.agent("alice", "tokens")));
    let taken = async || (new.get(PODS).await.ok()?.status == 200).then_some(());
    eventually("token of the new key that is taken", SOON, taken).await?;
    status(&client.with_token(old).get(PODS).await?, 401, "Unauthorized")?;
    Ok(())
}
