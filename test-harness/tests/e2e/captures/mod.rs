//! What two real API servers answered, said again behind Envoy in pieces that come apart: masked where it must be and
//! nowhere else, refused, or passed byte for byte.

mod compare;

use crate::support::run;
use anyhow::{Context as _, Result, ensure};
use chaperone_test_harness::client::{Answer, Client};
use chaperone_test_harness::stage::{ApiKind, Stage};
use chaperone_test_harness::standin::{Canned, Capture};
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use std::time::Duration;

/// How often each answer is said, each time cut elsewhere.
const CUTS: usize = 5;

#[tokio::test]
async fn captured_exchanges_in_pieces() {
    run(ApiKind::StandIn, 1, async |stage: &mut Stage| {
        let captures = Capture::all()?;
        ensure!(captures.len() > 110, "only {} captures", captures.len());
        let token = stage.issuer.mint(&stage.agent("alice", "captures"));
        let client = stage.client()?.with_token(&token);
        let mut random = fastrand::Rng::with_seed(7);
        let mut counts = [0; 4];
        for capture in &captures {
            let outcome = check(stage, &client, capture, &mut random).await;
            let kind = outcome.with_context(|| format!("{}/{}", capture.server, capture.name))?;
            counts[kind as usize] += 1;
        }
        let [masked, withheld, refused, passed] = counts;
        println!(
            "{CUTS} times each: {masked} masked, {withheld} withheld, {refused} refused, {passed} passed"
        );
        let records = stage.collector.run(&["replay", "captures", "--all", "--bodies", "-o", "json"]).await?;
        let forbidden: Vec<String> = captures.iter().flat_map(|one| one.forbidden.clone()).collect();
        ensure!(!compare::leaks(records.as_bytes(), &forbidden), "a record holds a planted value");
        ensure!(masked > 70 && withheld <= 8 && refused == 12 && passed == 20, "not these");
        Ok(())
    })
    .await;
}

/// What was done with a capture.
enum Kind {
    Masked,
    Withheld,
    Refused,
    Passed,
}

async fn check(
    stage: &Stage,
    client: &Client,
    capture: &Capture,
    random: &mut fastrand::Rng,
) -> Result<Kind> {
    let body = capture.body();
    if capture.expect == "refuse" {
        let before = stage.standin()?.log().len();
        let answer = client.send(request(capture)?).await?;
        ensure!([403, 422].contains(&answer.status), "{} {}", answer.status, answer.text());
        // Of a body that is refused the beginning may have gone ahead.
        let carried_out = stage.stand_in_log(before).iter().any(|seen| seen.status.is_some());
        ensure!(!carried_out, "it was carried out");
        return Ok(Kind::Refused);
    }
    let findable = capture.forbidden.is_empty() || compare::leaks(&body, &capture.forbidden);
    ensure!(findable, "there is nothing to look for");
    let mut kind = Kind::Passed;
    for _ in 0..CUTS {
        let canned = pieces(capture.canned(), random);
        let status = canned.status;
        stage.standin()?.answer_next(canned);
        let answer = client.send(request(capture)?).await?;
        if capture.expect == "pass" {
            ensure!(answer.status == status && answer.body == body, "it changed");
            continue;
        }
        kind = masked(&answer, status, &body, capture)?;
    }
    Ok(kind)
}

fn masked(answer: &Answer, status: u16, body: &[u8], capture: &Capture) -> Result<Kind> {
    let media = capture.header("content-type");
    ensure!(!compare::leaks(&answer.body, &capture.forbidden), "a planted value gets through");
    ensure!(answer.headers.get("content-encoding").is_none(), "it is packed");
    if media.starts_with("application/yaml") {
        // JSON was asked for in YAML's place; a server that sends YAML all the same is not believed.
        ensure!(answer.status == 502, "{} {}", answer.status, answer.text());
        return Ok(Kind::Withheld);
    }
    ensure!(answer.status == status, "{}, not {status}", answer.status);
    let count = if media.starts_with("application/json") {
        compare::json(body, &answer.body)?
    } else {
        compare::protobuf(body, &answer.body)?
    };
    ensure!(count > 0 || capture.forbidden.is_empty(), "nothing is masked");
    Ok(Kind::Masked)
}

fn request(capture: &Capture) -> Result<Request<Full<Bytes>>> {
    let mut request =
        Request::builder().method(capture.request.method.as_str()).uri(capture.request.path.as_str());
    let body = capture.request.body.clone();
    for (name, value) in &capture.request.headers {
        if body.is_some() || !name.eq_ignore_ascii_case("content-type") {
            request = request.header(name, value);
        }
    }
    Ok(request.body(body.map(Full::from).unwrap_or_default())?)
}

/// The same answer cut at random into pieces that come one after another.
fn pieces(mut canned: Canned, random: &mut fastrand::Rng) -> Canned {
    let whole = Bytes::from(canned.chunks.concat());
    let mut cuts: Vec<usize> = (0..random.usize(0..8)).map(|_| random.usize(0..=whole.len())).collect();
    cuts.extend([0, whole.len()]);
    cuts.sort_unstable();
    let pieces = cuts.windows(2).filter(|pair| pair[0] < pair[1]);
    canned.chunks = pieces.map(|pair| whole.slice(pair[0]..pair[1])).collect();
    canned.pause = Duration::from_millis(1);
    canned
}
