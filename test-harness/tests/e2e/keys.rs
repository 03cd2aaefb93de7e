//! An issuer's keys: both ways to verify, rotation, outage, and floods of tokens that are no good, with counts of fetches.

use crate::support::{SOON, run_on, status, verified};
use anyhow::{Context as _, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chaperone_test_harness::client::Client;
use chaperone_test_harness::issuer::{Alg, Fetches, Issuer};
use chaperone_test_harness::process::eventually;
use chaperone_test_harness::stage::{ApiKind, Stage};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const PODS: &str = "/api/v1/namespaces/orders/pods";
const ALL: [Alg; 5] = [Alg::Rs256, Alg::Es256, Alg::Es384, Alg::Ps256, Alg::EdDsa];
/// Envoy's main thread and its one worker have a VM each, and each fetches for itself.
const VMS: usize = 2;

/// An issuer whose RSA key is in the set from the first.
async fn issuer() -> Issuer {
    let issuer = Issuer::start().await.expect("an issuer");
    issuer.key_id(Alg::Rs256);
    issuer
}

fn since(before: Fetches, now: Fetches) -> Fetches {
    Fetches { discovery: now.discovery - before.discovery, jwks: now.jwks - before.jwks }
}

/// Tokens with one member of the header changed, each with its own `jti`.
fn minted(stage: &Stage, alg: Alg, header: &Value) -> String {
    let good = stage.issuer.mint(&stage.agent("alice", "keys").algorithm(alg));
    let payload = good.split('.').nth(1).expect("a payload");
    let payload = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    let mut whole = json!({"alg": alg.name(), "kid": stage.issuer.key_id(alg)});
    for (name, value) in header.as_object().expect("an object") {
        whole[name] = value.clone();
    }
    stage.issuer.sign_raw(alg, &whole, &payload)
}

/// The same token with another signature of the same length.
fn garbled(token: &str, number: usize) -> String {
    let (head, signature) = token.rsplit_once('.').expect("three parts");
    let mut signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let end = signature.len() - 8;
    let number = u64::try_from(number + 1).expect("a number").to_be_bytes();
    signature[end..].iter_mut().zip(number).for_each(|(byte, other)| *byte ^= other);
    format!("{head}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// How each of these tokens is answered, sixteen at a time.
async fn flood(client: &Client, tokens: Vec<String>) -> Result<BTreeMap<u16, usize>> {
    let (mut tasks, mut told) = (JoinSet::new(), BTreeMap::new());
    let mut tokens = tokens.into_iter();
    loop {
        while tasks.len() < 16
            && let Some(token) = tokens.next()
        {
            let client = client.with_token(&token);
            tasks.spawn(async move { client.get(PODS).await });
        }
        let Some(answer) = tasks.join_next().await else { return Ok(told) };
        *told.entry(answer??.status).or_default() += 1;
    }
}

/// A good token that is known, and new ones, while `bad` ones arrive. Gives how the bad ones were answered. New tokens that
/// are verified in wasm may be put off (429) while wrong ones of that kind arrive; those of other kinds and known ones never.
async fn beside(stage: &Stage, bad: Vec<String>, known: &str, fresh: Alg) -> Result<BTreeMap<u16, usize>> {
    let client = stage.client()?;
    let floods = tokio::spawn({
        let client = client.clone();
        async move { flood(&client, bad).await }
    });
    let (mut served, mut put_off, mut slowest) = (0, 0, Duration::ZERO);
    while !floods.is_finished() {
        for token in
            [known.to_owned(), minted(stage, Alg::Es256, &json!({})), minted(stage, fresh, &json!({}))]
        {
            let begun = Instant::now();
            let answer = client.with_token(&token).get(PODS).await?;
            slowest = slowest.max(begun.elapsed());
            match answer.status {
                200 => served += 1,
                429 if token.starts_with(&header_of(stage, fresh))
                    && matches!(fresh, Alg::EdDsa | Alg::Ps256) =>
                {
                    put_off += 1
                }
                other => bail!("a good token beside the bad: {other} {}", answer.text()),
            }
        }
    }
    let told = floods.await??;
    println!(
        "  beside them {served} good requests, the slowest in {slowest:.0?}; {put_off} new tokens put off"
    );
    ensure!(
        served >= 2 && slowest < Duration::from_secs(5),
        "{served} good ones, the slowest in {slowest:?}"
    );
    Ok(told)
}

/// How all tokens of this algorithm begin.
fn header_of(stage: &Stage, alg: Alg) -> String {
    let token = minted(stage, alg, &json!({}));
    token.split('.').next().unwrap_or_default().to_owned() + "."
}

async fn taken(stage: &Stage, token: &str) -> Result<()> {
    let client = stage.client()?.with_token(token);
    let taken = async || (client.get(PODS).await.ok()?.status == 200).then_some(());
    eventually("token that is taken", SOON, taken).await
}

/// RS256, ES256 and ES384 are verified by the host, PS256 and EdDSA in wasm: good and bad signatures are answered alike.
#[tokio::test]
async fn hostile_keys_both_ways_of_verifying_agree() {
    run_on(Stage::builder(ApiKind::StandIn).issuer(issuer().await), async |stage: &mut Stage| {
        let client = stage.client()?;
        for alg in ALL {
            let good = minted(stage, alg, &json!({}));
            let (head, signature) = good.rsplit_once('.').context("three parts")?;
            let other = stage.issuer.mint(&stage.agent("bob", "keys").algorithm(alg));
            let (_, others) = other.rsplit_once('.').context("three parts")?;
            let raw = URL_SAFE_NO_PAD.decode(signature)?;
            let encoded = |bytes: &[u8]| format!("{head}.{}", URL_SAFE_NO_PAD.encode(bytes));
            for (case, token, code) in [
                ("good", good.clone(), 200),
                ("good, again", good.clone(), 200),
                ("one bit", garbled(&good, 0), 401),
                ("one bit, again", garbled(&good, 0), 401),
                ("another token's signature", format!("{head}.{others}"), 401),
                ("zeros", encoded(&vec![0; raw.len()]), 401),
                ("a byte short", encoded(&raw[1..]), 401),
                ("a byte long", encoded(&[&raw[..], &[0]].concat()), 401),
                ("empty", encoded(&[]), 401),
                ("good at last", minted(stage, alg, &json!({})), 200),
            ] {
                let answer = client.with_token(&token).get(PODS).await?;
                ensure!(answer.status == code, "{} {case}: {} {}", alg.name(), answer.status, answer.text());
                if code == 401 {
                    let said = status(&answer, 401, "Unauthorized")?;
                    ensure!(said.contains("signature is wrong"), "{} {case}: {said}", alg.name());
                }
            }
            println!("{}: 3 good and 6 bad signatures, each as it should", alg.name());
        }
        verified(stage).await
    })
    .await;
}

/// New keys are found by their unknown `kid`, once; old ones are forgotten with the set.
#[tokio::test]
async fn hostile_keys_rotation_and_outage() {
    run_on(Stage::builder(ApiKind::StandIn).issuer(issuer().await), async |stage: &mut Stage| {
        let client = stage.client()?;
        let old = minted(stage, Alg::Es256, &json!({}));
        ensure!(client.with_token(&old).get(PODS).await?.status == 200, "a good token");
        let before = stage.issuer.fetches();
        println!("first start: {before:?}");
        ensure!(before.discovery == VMS && before.jwks == VMS, "{before:?}");

        stage.issuer.rotate_keeping_old();
        let new = minted(stage, Alg::Es256, &json!({}));
        taken(stage, &new).await?;
        ensure!(client.with_token(&old).get(PODS).await?.status == 200, "the old key is still in the set");
        let kept = since(before, stage.issuer.fetches());
        println!("rotation that keeps the old keys: {kept:?}");
        ensure!(kept.discovery == 0 && kept.jwks == 1, "{kept:?}");

        let before = stage.issuer.fetches();
        stage.issuer.rotate();
        let newest = minted(stage, Alg::EdDsa, &json!({}));
        taken(stage, &newest).await?;
        for gone in [&old, &new] {
            status(&client.with_token(gone).get(PODS).await?, 401, "Unauthorized")?;
        }
        let replaced = since(before, stage.issuer.fetches());
        println!("rotation that drops the old keys: {replaced:?}");
        // The pause between two fetches for unknown keys is waited out, whatever is asked meanwhile.
        ensure!(replaced.discovery == 0 && (1..=2).contains(&replaced.jwks), "{replaced:?}");

        // The issuer is down, and somebody asks for keys that nobody has: what is known goes on.
        let before = stage.issuer.fetches();
        stage.issuer.fail(true);
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(12) {
            let unknown = minted(stage, Alg::Es256, &json!({"kid": format!("gone-{:?}", begun.elapsed())}));
            status(&client.with_token(&unknown).get(PODS).await?, 401, "Unauthorized")?;
            let fresh = minted(stage, Alg::EdDsa, &json!({}));
            ensure!(client.with_token(&fresh).get(PODS).await?.status == 200, "keys are kept");
        }
        let down = since(before, stage.issuer.fetches());
        println!("12 s of outage: {down:?}");
        // A fetch for the unknown key, then retries after 0.5 to 1, 1 to 2, 2 to 4, 4 to 8 seconds.
        ensure!((1..=8).contains(&(down.discovery + down.jwks)), "{down:?}");
        let failed = stage.envoy.metric("chaperone_key_fetches_failed_total").await?;
        ensure!(failed >= 1, "failed fetches are not counted");
        // Stale is who was not refreshed for ten minutes: not yet.
        ensure!(stage.envoy.metric("chaperone_stale_issuers").await? == 0, "stale too early");

        stage.issuer.fail(false);
        stage.issuer.rotate();
        let back = minted(stage, Alg::Es256, &json!({}));
        taken(stage, &back).await?;
        status(&client.with_token(&newest).get(PODS).await?, 401, "Unauthorized")?;
        verified(stage).await
    })
    .await;
}

/// The issuer is down when the gateway starts: 503, and then service without a restart.
#[tokio::test]
async fn hostile_keys_first_start_without_the_issuer() {
    let down = issuer().await;
    down.fail(true);
    run_on(Stage::builder(ApiKind::StandIn).issuer(down), async |stage: &mut Stage| {
        let client = stage.client()?.with_token(&minted(stage, Alg::Es256, &json!({})));
        let answer = client.get(PODS).await?;
        let said = status(&answer, 503, "ServiceUnavailable")?;
        ensure!(
            said.contains("keys are not available") && answer.headers.contains_key("retry-after"),
            "{said}"
        );
        let stale = async || (stage.envoy.metric("chaperone_stale_issuers").await.ok()? >= 1).then_some(());
        eventually("stale issuer in the metrics", SOON, stale).await?;
        let before = stage.issuer.fetches();
        ensure!(before.jwks == 0 && before.discovery >= 1, "{before:?}");

        stage.issuer.fail(false);
        let begun = Instant::now();
        let served = async || (client.get(PODS).await.ok()?.status == 200).then_some(());
        eventually("service", SOON, served).await?;
        println!("down at the start: {before:?}, then served {:.1?} after it was up", begun.elapsed());
        let fresh = async || (stage.envoy.metric("chaperone_stale_issuers").await.ok()? == 0).then_some(());
        eventually("no stale issuer", SOON, fresh).await?;
        let up = since(before, stage.issuer.fetches());
        ensure!(up.discovery <= VMS && (1..=VMS).contains(&up.jwks), "{up:?}");
        ensure!(stage.envoy.metric("chaperone_refused_keys_unavailable_total").await? >= 1, "not counted");
        verified(stage).await
    })
    .await;
}

/// 300 tokens with unknown keys, then 1000 with wrong signatures of each kind: fetches are few, and good tokens are served.
#[tokio::test]
async fn hostile_keys_floods() {
    run_on(Stage::builder(ApiKind::StandIn).issuer(issuer().await), async |stage: &mut Stage| {
        // Its own header tells it from the new ones.
        let known = minted(stage, Alg::EdDsa, &json!({"typ": "JWT"}));
        ensure!(stage.client()?.with_token(&known).get(PODS).await?.status == 200, "a good token");
        let before = stage.issuer.fetches();
        let begun = Instant::now();
        let unknown = (0..300)
            .map(|number| minted(stage, ALL[number % 5], &json!({"kid": format!("unknown-{number}")})))
            .collect();
        let told = beside(stage, unknown, &known, Alg::Es384).await?;
        let fetched = since(before, stage.issuer.fetches());
        println!("300 unknown keys in {:.1?}: {told:?}, {fetched:?}", begun.elapsed());
        ensure!(told == BTreeMap::from([(401, 300)]), "{told:?}");
        // At most one every ten seconds.
        let most = 1 + usize::try_from(begun.elapsed().as_secs() / 10)?;
        ensure!(fetched.discovery == 0 && fetched.jwks <= most, "{fetched:?}, at most {most}");

        for (what, alg) in [
            ("by the host", Alg::Es256),
            ("by the host", Alg::Rs256),
            ("in wasm", Alg::EdDsa),
            ("in wasm", Alg::Ps256),
        ] {
            let before = stage.issuer.fetches();
            let (good, begun) = (minted(stage, alg, &json!({})), Instant::now());
            let bad = (0..1000).map(|number| garbled(&good, number)).collect();
            let told = beside(stage, bad, &known, alg).await?;
            let fetched = since(before, stage.issuer.fetches());
            println!(
                "1000 wrong signatures, {} {what}, in {:.1?}: {told:?}, {fetched:?}",
                alg.name(),
                begun.elapsed()
            );
            ensure!(told.keys().all(|code| matches!(code, 401 | 429)), "{told:?}");
            ensure!(what == "in wasm" || told.len() == 1, "only wasm runs short: {told:?}");
            ensure!(fetched.discovery == 0 && fetched.jwks <= 1, "{fetched:?}");
        }
        let garbage = (0..1000).map(|number| format!("garbage.{number}.x")).collect();
        let told = beside(stage, garbage, &known, Alg::EdDsa).await?;
        println!("1000 that are no tokens: {told:?}");
        ensure!(told == BTreeMap::from([(401, 1000)]), "{told:?}");
        verified(stage).await
    })
    .await;
}
