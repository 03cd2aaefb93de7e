//! `make demo`: an agent's kubectl session through the gateway, what it saw, and what the auditor sees.
//!
//! `DEMO_API=standin|kube` chooses the API server, `KUBE_API`, `KUBE_CA` and `KUBE_TOKEN` name one of your own.
//! `DEMO_EXIT=1` ends after the script, with status 0 only if every expectation held.

mod api;
mod audit;
mod screen;
mod script;

use anyhow::Result;
use chaperone_test_harness::issuer::Claims;
use chaperone_test_harness::process::{built, filter};
use chaperone_test_harness::stage::Stage;
use screen::Screen;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// What the user asks the agent for, one after the other.
const PROMPTS: [Prompt; 2] = [
    Prompt {
        text: "Roll out release 42 of the shop.",
        sha256: "5d38c6c391aa8be87fd719f63381db61beff6a1fc912a23096d5d7c831e48aac",
    },
    Prompt {
        text: "Go to release 43, and remove what the shop no longer needs.",
        sha256: "3e89f2bd923d85f5f5812b0c9f6cff44c463eb9a10e3607f6c8f329b17e6520d",
    },
];

/// A prompt. The record holds its SHA-256, as the agent's token states it.
struct Prompt {
    text: &'static str,
    sha256: &'static str,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            anstream::eprintln!("\nThe demo could not be run: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run() -> Result<bool> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut screen = Screen::new();
    screen.title("Chaperone: an AI agent at the Kubernetes API, and what can be said about it afterwards");
    let (api, name) = api::chosen()?;
    screen.say(&format!("The API server is {name}."));
    let start = Stage::builder(api).concurrency(2).filter("/access", script::access()).start();
    let stage = screen.during("Starting OIDC issuer, API server, collector and Envoy", start).await?;
    screen.say(&format!(
        "The filter is {} KiB of wasm; Envoy served {:.1} s after its start.",
        std::fs::metadata(filter()?)?.len() / 1024,
        stage.envoy.started_in().as_secs_f64()
    ));
    let played = tokio::select! {
        played = play(&stage, &mut screen) => played?,
        _ = interrupt.recv() => false,
        _ = terminate.recv() => false,
    };
    if std::env::var_os("DEMO_EXIT").is_none_or(|value| value.is_empty() || value == "0") {
        by_hand(&stage, &screen).await?;
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        screen.say("Stopping.");
    }
    script::clean_up(&stage).await;
    if played {
        stage.stop().await?;
    }
    Ok(played)
}

/// The session, both sides of it, and whether all was as it should be.
async fn play(stage: &Stage, screen: &mut Screen) -> Result<bool> {
    let session = format!("demo-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
    screen.during("Preparing a namespace with a Secret and a pod", script::prepare(stage)).await?;
    screen.title("The agent's session");
    let mut steps = Vec::new();
    for (prompt, part) in PROMPTS.iter().zip(script::PARTS) {
        screen.say(&format!("alice asks deploy-bot (model claude-opus-4-5): {:?}", prompt.text));
        steps
            .extend(script::play(stage, screen, &claims("alice@example.com", &session, prompt), part).await?);
    }
    script::check(stage, screen, &steps).await?;
    let audit = screen.during("Waiting for the last records", audit::Audit::of(stage, &session)).await?;
    screen.title("Side by side");
    for step in &steps {
        screen.side_by_side(&step.seen(), &audit.of_step(step));
    }
    audit.check(stage, &steps, screen).await?;
    audit.print(stage, screen).await?;
    Ok(screen.verdict())
}

/// What the agent's token says.
fn claims(user: &str, session: &str, prompt: &Prompt) -> Claims {
    Claims::new(user)
        .groups(["developers"])
        .agent("deploy-bot")
        .session(session)
        .model("claude-opus-4-5")
        .prompt_sha256(prompt.sha256)
}

/// How to go on by hand.
async fn by_hand(stage: &Stage, screen: &Screen) -> Result<()> {
    let day = Duration::from_secs(24 * 3600);
    let token = stage.issuer.mint(&claims("alice@example.com", "by-hand", &PROMPTS[1]).expires_in(day));
    let kubectl = stage.kubectl("by-hand", Some(&token))?;
    let chaperone = built("chaperone")?;
    let (chaperone, database) = (chaperone.display(), stage.collector.database().display());
    let keys = stage.collector.public_keys();
    let collector = format!("http://{}", stage.collector.address());
    let link = stage.collector.run(&["token", "login", "--public-url", &collector]).await?;
    screen.title("By hand");
    screen.commands(&[
        ("as the agent", format!("export KUBECONFIG={}", kubectl.kubeconfig().display())),
        ("", format!("{} get secrets -n {} -o yaml", kubectl.program().display(), script::NAMESPACE)),
        (
            "another token",
            format!("curl -s {}/mint -d '{{\"sub\": \"bob\", \"model\": \"gpt-6\"}}'", stage.issuer.url()),
        ),
        ("as the auditor", format!("export CHAPERONE_DATABASE={database}")),
        ("", format!("{chaperone} sessions")),
        ("", format!("{chaperone} replay by-hand --bodies")),
        ("", format!("{chaperone} verify --public-key {}", keys.display())),
        ("gateway", stage.url()),
        ("its metrics", format!("curl -s '{}/stats?filter=chaperone'", stage.admin_url())),
        ("the web UI, once", link.trim().to_owned()),
        ("logs", stage.dir().path("").display().to_string()),
    ]);
    screen.say("Everything runs until Ctrl-C, and is gone then.");
    Ok(())
}
