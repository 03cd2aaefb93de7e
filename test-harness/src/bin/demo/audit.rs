//! The auditor's side.

use crate::screen::Screen;
use crate::script::{Step, VALUE};
use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chaperone_test_harness::process::eventually;
use chaperone_test_harness::stage::Stage;
use serde_json::Value;
use std::time::Duration;

/// What the collector holds of the session, and of requests whose token was refused.
pub struct Audit {
    session: String,
    exchanges: Vec<Value>,
    refused: Option<Value>,
}

impl Audit {
    /// Reads the record once it is complete.
    pub async fn of(stage: &Stage, session: &str) -> Result<Self> {
        let complete = async || {
            let replay = stage.collector.session(session).await.ok()?;
            let exchanges = replay["exchanges"].as_array()?.clone();
            let over = exchanges.iter().all(|exchange| exchange["state"] != "incomplete");
            let removal = find(&exchanges, ("delete", "namespaces")).is_some();
            let refused = refused(stage).await;
            (over && removal && refused.is_some()).then_some((exchanges, refused))
        };
        let (exchanges, refused) = eventually("complete record", Duration::from_secs(20), complete).await?;
        Ok(Self { session: session.to_owned(), exchanges, refused })
    }

    fn exchange(&self, step: &Step) -> Option<&Value> {
        match step.recorded {
            Some(what) => find(&self.exchanges, what),
            None => self.refused.as_ref(),
        }
    }

    /// One step, as the record has it.
    pub fn of_step(&self, step: &Step) -> String {
        let Some(exchange) = self.exchange(step) else { return "nothing".to_owned() };
        let text = |pointer| exchange.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let mut lines = Vec::new();
        let mut line = |name: &str, value: String| {
            if !value.trim().is_empty() {
                lines.push(format!("{name:<9}{value}"));
            }
        };
        match exchange.pointer("/user/username").and_then(Value::as_str) {
            Some(user) => line("who", format!("{user} via {}", text("/attribution/agent/value"))),
            None => line("who", "nobody: the token is not valid".to_owned()),
        }
        line("model", text("/attribution/model/value").to_owned());
        line("prompt", text("/attribution/prompt/value").chars().take(16).collect());
        let asked = [text("/verb"), text("/objectRef/resource"), text("/objectRef/name")].join(" ");
        let resource = exchange["objectRef"]["resource"].is_string();
        line("asked", if resource { asked } else { format!("{} {}", text("/method"), text("/requestURI")) });
        line("in", text("/objectRef/namespace").to_owned());
        line(
            "decision",
            if exchange["decision"]["allowed"] == true { "allowed" } else { "refused" }.to_owned(),
        );
        line("", text("/decision/message").to_owned());
        line("status", exchange["responseStatus"]["code"].to_string());
        line("masked", masked(exchange));
        line("record", format!("{}, signature checked: {}", text("/delivery"), exchange["verified"]));
        lines.join("\n")
    }

    /// Checks the record against what was done.
    pub async fn check(&self, stage: &Stage, steps: &[Step], screen: &mut Screen) -> Result<()> {
        screen.title("What the record must hold");
        let told: Vec<_> =
            steps.iter().filter(|step| step.recorded.is_some()).map(|step| self.exchange(step)).collect();
        let all = |holds: &dyn Fn(&Value) -> bool| told.iter().all(|exchange| exchange.is_some_and(holds));
        screen.check(
            "every step with who, model and prompt, from the signed token",
            all(&|exchange| {
                let said = |what: &str| exchange["attribution"][what]["verified"] == true;
                exchange["user"]["username"] == "alice@example.com" && said("model") && said("prompt")
            }),
        );
        let confirmed =
            |what| find(&self.exchanges, what).is_some_and(|exchange| exchange["delivery"] == "confirmed");
        screen.check(
            "writes and the Secret were recorded before they went upstream",
            [("create", "configmaps"), ("delete", "namespaces"), ("get", "secrets")]
                .into_iter()
                .all(confirmed),
        );
        screen.check(
            "which rule kept the Secret from being removed",
            find(&self.exchanges, ("delete", "secrets")).is_some_and(|exchange| {
                exchange["decision"]["allowed"] == false
                    && exchange["decision"].to_string().contains("secrets-stay")
            }),
        );
        let secret = find(&self.exchanges, ("get", "secrets"));
        screen.check(
            "which field of the Secret was masked",
            secret.is_some_and(|exchange| masked(exchange).contains("$.data.password")),
        );
        screen.check(
            "the refused token, and why",
            self.refused.as_ref().is_some_and(|exchange| exchange["responseStatus"]["code"] == 401),
        );
        let text = Value::from(self.exchanges.clone()).to_string();
        screen.check(
            "nothing of the Secret's value",
            !text.contains(VALUE) && !text.contains(&STANDARD.encode(VALUE)),
        );
        let arrivals = stage.arrivals();
        if !arrivals.is_empty() {
            let as_gateway = |exchange: &Value| {
                let found = arrivals.iter().find(|arrival| exchange["exchange"] == *arrival.audit_id);
                found.is_some_and(|arrival| arrival.user == stage.upstream_user())
            };
            screen.check(
                "the same ids as the API server's own log, which knows only the gateway's account",
                all(&|exchange| exchange["decision"]["allowed"] == false || as_gateway(exchange)),
            );
        }
        let verified =
            async || stage.collector.verify().await.ok().filter(|text| text.contains("Nothing is wrong."));
        let verified = eventually("clean verification", Duration::from_secs(10), verified).await;
        screen.check("every signature and every link of the chains", verified.is_ok());
        Ok(())
    }

    /// The auditor's own commands.
    pub async fn print(&self, stage: &Stage, screen: &Screen) -> Result<()> {
        screen.title("The auditor's commands");
        let keys = stage.collector.public_keys().display().to_string();
        for arguments in
            [vec!["sessions"], vec!["replay", &self.session], vec!["verify", "--public-key", &keys]]
        {
            let shown = if arguments[0] == "verify" {
                "verify --public-key public-keys.json".to_owned()
            } else {
                arguments.join(" ")
            };
            screen.auditor(&shown, &stage.collector.printed(&arguments, screen.colour()).await?);
        }
        Ok(())
    }
}

fn find<'a>(exchanges: &'a [Value], (verb, resource): (&str, &str)) -> Option<&'a Value> {
    exchanges
        .iter()
        .find(|exchange| exchange["verb"] == verb && exchange["objectRef"]["resource"] == resource)
}

/// The first request of the expired token: it belongs to no session but the one that the collector made for its address.
async fn refused(stage: &Stage) -> Option<Value> {
    let sessions: Value =
        serde_json::from_str(&stage.collector.run(&["sessions", "-o", "json"]).await.ok()?).ok()?;
    let derived = sessions["sessions"].as_array()?.iter().find(|session| session["derived"] == true)?;
    let replay = stage.collector.session(derived["session"].as_str()?).await.ok()?;
    replay["exchanges"].as_array()?.iter().find(|exchange| exchange["state"] == "refused").cloned()
}

fn masked(exchange: &Value) -> String {
    let paths = exchange["masked"].as_array().into_iter().flatten();
    paths.filter_map(|masked| masked["path"].as_str()).collect::<Vec<_>>().join(", ")
}
