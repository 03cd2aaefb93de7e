//! Hostile requests through real Envoy, as tables: what each is answered, that nothing of it goes upstream or only what is
//! clean, and that its refusal is in the record.

mod bodies;
mod guards;
mod headers;
mod http2;
mod request;
mod targets;
mod tokens;

use crate::support::{SOON, run_on, verified};
use anyhow::{Context as _, Result, bail, ensure};
use chaperone_test_harness::client::{Answer, Client};
use chaperone_test_harness::envoy::vm_failures;
use chaperone_test_harness::issuer::{Alg, Issuer};
use chaperone_test_harness::process::eventually;
use chaperone_test_harness::stage::{ApiKind, Stage};
use chaperone_test_harness::standin::Logged;
use request::{Request, get};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Headers that the API server may see: those that the documentation lists, and what Envoy adds.
const UPSTREAM: [&str; 22] = [
    "accept",
    "accept-encoding",
    "audit-id",
    "authorization",
    "b3",
    "content-length",
    "content-type",
    "host",
    "if-modified-since",
    "if-none-match",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "user-agent",
    "x-b3-flags",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-spanid",
    "x-b3-traceid",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-request-id",
];

/// What a request is answered, and what reaches the API server of it.
#[derive(Clone, Debug)]
enum Expect {
    /// The filter refuses it by its head: the status, what refused, and the record's short reason. Nothing goes upstream.
    Refused(u16, &'static str, &'static str),
    /// The filter refuses it by its body: the API server sees no byte of that.
    RefusedBody(u16, &'static str),
    /// Envoy itself does not take it, with this status.
    Envoy(u16),
    /// It goes upstream, under this path and query; headers clean, body whole.
    Arrives(String),
}

/// A named request and what is expected.
struct Row {
    name: String,
    request: Request,
    expect: Expect,
}

fn row(name: impl Into<String>, request: Request, expect: Expect) -> Row {
    Row { name: name.into(), request, expect }
}

fn arrives(target: impl Into<String>) -> Expect {
    Expect::Arrives(target.into())
}

/// A refusal that must be in the record.
struct Refused {
    row: String,
    exchange: String,
    code: u16,
    /// None where the head was recorded before the body was looked at.
    rule: Option<&'static str>,
    reason: &'static str,
}

/// The agent that sends the rows, and who signs its tokens.
struct Agent<'a> {
    issuer: &'a Issuer,
    token: String,
}

/// What came of the rows so far.
struct Table<'a> {
    stage: &'a Stage,
    client: Client,
    token: String,
    sent: usize,
    /// How many requests have reached the API server.
    seen: usize,
    told: BTreeMap<String, usize>,
    refused: Vec<Refused>,
    /// User agents whose requests may reach the API server.
    upstream: BTreeSet<String>,
    /// Texts of which none may show anywhere: parts of every token.
    secrets: BTreeSet<String>,
    wrong: Vec<String>,
}

#[tokio::test]
async fn hostile_requests() {
    let builder = Stage::builder(ApiKind::StandIn)
        .filter("/access", guards::access())
        .filter("/attribution", guards::attribution());
    run_on(builder, async |stage: &mut Stage| {
        let mut table = Table::new(stage).await?;
        let agent = Agent { issuer: &stage.issuer, token: table.token.clone() };
        table.run("clock skew", tokens::at_the_skew(&agent)).await?;
        table.run("tokens", tokens::rows(&agent)).await?;
        table.run("request lines", targets::rows()).await?;
        table.run("headers", headers::rows(&agent)).await?;
        table.run("bodies", bodies::rows(&agent)).await?;
        table.run("guards, rules, attribution", guards::rows(&agent)).await?;
        http2::checks(&mut table).await?;
        ensure!(table.sent >= 120, "only {} rows", table.sent);
        table.finish().await
    })
    .await;
}

/// With every guard off, what they refuse goes upstream; and the odd request lines of the capture are refused or go
/// upstream as they are, recorded as the API server classifies them.
#[tokio::test]
async fn hostile_requests_without_guards() {
    let off = json!({"guards": {"disable": guards::NAMES}});
    let builder = Stage::builder(ApiKind::StandIn).filter("/access", off);
    run_on(builder, async |stage: &mut Stage| {
        let mut table = Table::new(stage).await?;
        let agent = Agent { issuer: &stage.issuer, token: table.token.clone() };
        table.run("guards that are off", guards::off(&agent)).await?;
        targets::captured(&mut table).await?;
        table.finish().await
    })
    .await;
}

impl<'a> Table<'a> {
    async fn new(stage: &'a Stage) -> Result<Self> {
        // The RSA key joins the set now, and the filter comes to know it by a token that names it.
        let claims = stage.agent("alice", "hostile").groups(["developers", "interns"]);
        let token = stage.issuer.mint(&claims.clone().algorithm(Alg::Rs256));
        let client = stage.client()?;
        let known = client.with_token(&token);
        let known = async || (known.get("/version").await.ok()?.status == 200).then_some(());
        eventually("token of the RSA key that is taken", SOON, known).await?;
        let mut table = Self {
            stage,
            client,
            token: stage.issuer.mint(&stage.agent("alice", "hostile")),
            sent: 0,
            seen: 0,
            told: BTreeMap::new(),
            refused: Vec::new(),
            upstream: BTreeSet::new(),
            secrets: BTreeSet::new(),
            wrong: Vec::new(),
        };
        let own = table.token.clone();
        table.secret(own.as_bytes());
        table.secret(token.as_bytes());
        Ok(table)
    }

    /// Remembers the parts of what may be a token.
    fn secret(&mut self, bytes: &[u8]) {
        let parts = bytes.split(|byte| !byte.is_ascii_alphanumeric() && !b"-_+/=".contains(byte));
        let long =
            parts.filter(|part| part.len() >= 24).map(|part| String::from_utf8_lossy(part).into_owned());
        self.secrets.extend(long);
    }

    /// Runs the rows one after the other, then sees whether the filter still serves.
    async fn run(&mut self, group: &str, rows: Vec<Row>) -> Result<()> {
        for Row { name, request, expect } in rows {
            let name = format!("{group}: {name}");
            let what = match &expect {
                Expect::Refused(code, _, reason) | Expect::RefusedBody(code, reason) => {
                    format!("{code} {reason}")
                }
                Expect::Envoy(code) => format!("{code} by Envoy"),
                Expect::Arrives(_) => "goes upstream, clean".to_owned(),
            };
            *self.told.entry(what).or_default() += 1;
            if let Err(error) = self.check(&name, &request, &expect).await {
                eprintln!("WRONG {name}: {error:#}");
                self.wrong.push(format!("{name}: {error:#}"));
            }
        }
        let good = self.client.with_token(&self.token).get("/version").await?;
        ensure!(good.status == 200, "{group}: the filter is gone: {}", good.status);
        vm_failures(&self.stage.envoy.log()).context(group.to_owned())
    }

    async fn check(&mut self, name: &str, request: &Request, expect: &Expect) -> Result<()> {
        self.sent += 1;
        let agent = format!("hostile/{}", self.sent);
        request.secrets().iter().for_each(|secret| self.secret(secret));
        self.arrived();
        let answers = self.client.send_raw(&request.bytes(&self.token, &agent)).await?;
        ensure!(answers.len() <= 1, "{} answers to one request", answers.len());
        let answer = answers.into_iter().next();
        let log = self.arrived();
        // A body that was refused earlier may have left its head behind late.
        let seen: Vec<&Logged> =
            log.iter().filter(|seen| !self.upstream.contains(&user_agent(seen))).collect();
        self.judge(name, request, expect, &agent, answer, &seen)
    }

    /// What has reached the API server since this was last asked.
    fn arrived(&mut self) -> Vec<Logged> {
        let arrived = self.stage.stand_in_log(self.seen);
        self.seen += arrived.len();
        arrived
    }

    fn judge(
        &mut self,
        name: &str,
        request: &Request,
        expect: &Expect,
        agent: &str,
        answer: Option<Answer>,
        seen: &[&Logged],
    ) -> Result<()> {
        match expect {
            Expect::Envoy(code) => {
                ensure!(seen.is_empty(), "went upstream: {seen:?}");
                let answer = answer.context("no answer")?;
                ensure!(answer.status == *code, "expected {code} by Envoy, got {}", said(&answer));
                ensure!(
                    !answer.headers.contains_key("audit-id"),
                    "answered by the filter: {}",
                    said(&answer)
                );
            }
            Expect::Refused(code, rule, reason) => {
                ensure!(seen.is_empty(), "went upstream: {seen:?}");
                self.refusal(
                    name,
                    answer.context("no answer")?,
                    *code,
                    Some(rule),
                    reason,
                    request.is_head(),
                )?;
            }
            Expect::RefusedBody(code, reason) => {
                self.upstream.insert(agent.to_owned());
                // All but the last byte may have gone on; a body that is not whole is not acted on, and not answered.
                ensure!(seen.iter().all(|seen| seen.status.is_none()), "the whole body went upstream");
                self.refusal(name, answer.context("no answer")?, *code, None, reason, false)?;
            }
            Expect::Arrives(target) => {
                let answer = answer.context("no answer")?;
                let [seen] = seen else { bail!("{} requests upstream; {}", seen.len(), said(&answer)) };
                self.upstream.insert(user_agent(seen));
                ensure!(seen.uri == *target, "arrived as {}", seen.uri);
                ensure!(seen.status == Some(answer.status), "{:?} became {}", seen.status, said(&answer));
                self.clean(seen, &answer)?;
                ensure!(request.sent_body().is_none_or(|body| body == seen.body), "another body");
            }
        }
        Ok(())
    }

    /// What arrived has only headers that it may have, and those that are set are the gateway's.
    fn clean(&self, seen: &Logged, answer: &Answer) -> Result<()> {
        for name in seen.headers.keys() {
            ensure!(UPSTREAM.contains(&name.as_str()), "the header {name} went upstream");
        }
        let id = answer.headers.get("audit-id").context("no Audit-ID")?;
        let credential = format!("Bearer {}", self.stage.upstream_token());
        for (name, value) in [
            ("authorization", credential.as_bytes()),
            ("audit-id", id.as_bytes()),
            ("x-forwarded-for", b"127.0.0.1"),
            ("accept-encoding", b"identity"),
        ] {
            let mut values = seen.headers.get_all(name).iter();
            let right = values.next().is_some_and(|found| found.as_bytes() == value);
            ensure!(right && values.next().is_none(), "{name} is not what the gateway sets");
        }
        Ok(())
    }

    /// The answer is the filter's `Status`.
    fn refusal(
        &mut self,
        name: &str,
        answer: Answer,
        code: u16,
        rule: Option<&'static str>,
        reason: &'static str,
        head: bool,
    ) -> Result<()> {
        let id = answer.headers.get("audit-id").and_then(|id| id.to_str().ok());
        let body = answer.json();
        let says = body["code"] == code && body["kind"] == "Status" || head;
        ensure!(answer.status == code && says, "expected {code} {reason}, got {}", said(&answer));
        let word = match code {
            400 | 422 => "BadRequest",
            401 => "Unauthorized",
            403 => "Forbidden",
            405 => "MethodNotAllowed",
            406 => "NotAcceptable",
            415 => "UnsupportedMediaType",
            _ => "RequestEntityTooLarge",
        };
        ensure!(body["reason"] == word || head, "{} instead of {word}", body["reason"]);
        ensure!(answer.headers.contains_key("www-authenticate") == (code == 401), "the challenge is wrong");
        self.nothing_secret("the answer", &answer.body)?;
        for value in answer.headers.values() {
            self.nothing_secret("the answer's headers", value.as_bytes())?;
        }
        let exchange = id.context("a refusal without Audit-ID")?.to_owned();
        self.refused.push(Refused { row: name.to_owned(), exchange, code, rule, reason });
        Ok(())
    }

    fn nothing_secret(&self, place: &str, bytes: &[u8]) -> Result<()> {
        let text = String::from_utf8_lossy(bytes);
        let found = self.secrets.iter().find(|secret| text.contains(secret.as_str()));
        ensure!(found.is_none(), "part of a token is in {place}");
        Ok(())
    }

    /// Every refusal is in the record, and no token is anywhere; then all that was wrong.
    async fn finish(mut self) -> Result<()> {
        let refused = std::mem::take(&mut self.refused);
        let mut recorders = BTreeSet::new();
        if let Some(last) = refused.last() {
            record(self.stage, &last.exchange).await?;
        }
        // One after the other: the collector lets only so many read at a time.
        for refused in &refused {
            let record = self.stage.collector.client().get(&record_path(&refused.exchange)).await?.json();
            let Refused { row, code, rule, reason, .. } = refused;
            recorders.insert(record["recorder"].to_string());
            let right = record["outcome"] == "refused"
                && record["responseStatus"]["code"] == *code
                && record["reason"] == *reason
                && rule.is_none_or(|rule| {
                    record["decision"]["rule"] == rule && record["decision"]["allowed"] == false
                });
            if !right {
                let (decision, status) = (&record["decision"], &record["responseStatus"]);
                self.wrong.push(format!("{row}: recorded as {decision} {status} {}", record["reason"]));
            }
        }
        if recorders.len() > 1 {
            self.wrong.push("the worker's VM was started anew".to_owned());
        }
        self.counted(&refused).await?;
        verified(self.stage).await?;
        self.no_tokens()?;
        let rows = self.sent;
        println!("{rows} hostile requests, {} of them refused and recorded", refused.len());
        for (what, count) in &self.told {
            println!("{count:>5}  {what}");
        }
        ensure!(
            self.wrong.is_empty(),
            "{} of {rows} are wrong:\n{}",
            self.wrong.len(),
            self.wrong.join("\n")
        );
        Ok(())
    }

    /// The metrics count each refusal under its reason.
    async fn counted(&mut self, refused: &[Refused]) -> Result<()> {
        let mut expected = BTreeMap::<String, u64>::new();
        for refused in refused {
            let snake = refused.reason.chars().flat_map(|c| {
                let upper = c.is_ascii_uppercase();
                upper.then_some('_').into_iter().chain([c.to_ascii_lowercase()])
            });
            *expected.entry(format!("chaperone_refused_{}_total", snake.collect::<String>())).or_default() +=
                1;
        }
        // The first token of the RSA key was refused until the filter knew it.
        expected.remove("chaperone_refused_token_key_total");
        let mut last = BTreeMap::new();
        let equal = async || {
            let stats = self.stage.envoy.stats("chaperone_refused").await.ok()?;
            let name = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
            last = stats
                .iter()
                .map(|(full, count)| (name(full), *count))
                .filter(|(_, count)| *count > 0)
                .collect();
            last.remove("chaperone_refused_token_key_total");
            (last == expected).then_some(())
        };
        let outcome = eventually("metrics that agree", SOON, equal).await;
        if outcome.is_err() {
            self.wrong.push(format!("metrics: {last:?}, and the rows say {expected:?}"));
        }
        Ok(())
    }

    /// No token is in a record, a log, or on its way upstream, and nothing arrived that should not have.
    fn no_tokens(&mut self) -> Result<()> {
        let database = self.stage.collector.database().to_owned();
        for suffix in ["", "-wal"] {
            let file = format!("{}{suffix}", database.display());
            self.nothing_secret("the records", &fs::read(file).unwrap_or_default())?;
        }
        self.nothing_secret("Envoy's log", self.stage.envoy.log().as_bytes())?;
        for seen in self.stage.stand_in_log(0) {
            let agent = user_agent(&seen);
            if agent.starts_with("hostile/") && !self.upstream.contains(&agent) {
                self.wrong.push(format!("went upstream after all: {seen:?}"));
            }
            self.nothing_secret("what went upstream", seen.uri.as_bytes())?;
            for value in seen.headers.values() {
                self.nothing_secret("what went upstream", value.as_bytes())?;
            }
            if seen.uri.contains("smuggled") {
                self.wrong.push(format!("smuggled: {seen:?}"));
            }
        }
        Ok(())
    }
}

/// An exchange as the collector has it.
async fn record(stage: &Stage, exchange: &str) -> Result<Value> {
    let (collector, path) = (stage.collector.client(), record_path(exchange));
    let found = async || {
        let answer = collector.get(&path).await.ok()?;
        let record = (answer.status == 200).then(|| answer.json())?;
        (!record["outcome"].is_null()).then_some(record)
    };
    eventually("record of it", SOON, found).await
}

fn record_path(exchange: &str) -> String {
    format!("/v1/exchanges/{exchange}")
}

fn user_agent(seen: &Logged) -> String {
    let value = seen.headers.get("user-agent").map(|value| value.as_bytes()).unwrap_or_default();
    String::from_utf8_lossy(value).into_owned()
}

fn said(answer: &Answer) -> String {
    format!("{} {}", answer.status, answer.text().trim_end())
}

/// A good request, to change one thing of.
fn pods() -> Request {
    get("/api/v1/namespaces/orders/pods")
}
