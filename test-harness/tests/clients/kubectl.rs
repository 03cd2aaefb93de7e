//! kubectl, as a person types it.

use crate::agent::{Agent, Desk, Outcome, fetched};
use crate::cluster::Cluster;
use crate::table::{Ends, Row, differs, refused, streams, works};
use anyhow::{Context as _, Result, bail, ensure};
use chaperone_test_harness::process;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

/// How long one line may take.
const PATIENCE: Duration = Duration::from_secs(40);
/// What stands in for a value, in base64.
const MASK: &str = "W21hc2tlZCBieSBjaGFwZXJvbmVd";

/// Why masks are refused.
const HELD: &str = "holds the text that stands for a masked value";
/// What `kubectl edit` makes of it.
const INVALID_EDIT: &str = "secrets \"db\" is invalid";

/// A shell whose `kubectl` is of one version.
pub struct Kubectl(Desk);

/// kubectl 1.37, from `.venv`.
pub async fn new(desk: Desk) -> Result<Option<Kubectl>> {
    Kubectl::start(desk, process::fetched("kubectl").ok(), "v1.37.").await
}

/// kubectl 1.20, Debian's.
pub async fn old(desk: Desk) -> Result<Option<Kubectl>> {
    Kubectl::start(desk, fetched("kubectl-1.20"), "v1.20.").await
}

impl Kubectl {
    async fn start(desk: Desk, program: Option<PathBuf>, version: &str) -> Result<Option<Self>> {
        let Some(program) = program else { return Ok(None) };
        std::os::unix::fs::symlink(program, desk.folder.join("kubectl"))?;
        let kubectl = Self(desk);
        let said = kubectl
            .shell("kubectl version --client && kubectl config set-context --current --namespace $NS")
            .await?;
        ensure!(
            said.code == 0 && said.out.contains(version),
            "no kubectl {version}: {}{}",
            said.out,
            said.err
        );
        Ok(Some(kubectl))
    }

    async fn shell(&self, line: &str) -> Result<Outcome> {
        let mut command = self.0.command("/bin/sh");
        command.args(["-c", line]);
        let output = timeout(PATIENCE, command.output()).await.with_context(|| format!("{line} hung"))??;
        Ok(Outcome {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Reads until the texts are there, while somebody writes.
    async fn follow(&self, row: &Row, cluster: &Cluster) -> Result<Outcome> {
        let mut command = self.0.command("/bin/sh");
        command.args(["-c", row.command]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let mut stdout = child.stdout.take().context("no output")?;
        let mut out = Vec::new();
        let shown = async {
            loop {
                let text = String::from_utf8_lossy(&out);
                if row.shows.iter().all(|shown| text.contains(shown)) {
                    return Ok(());
                }
                match timeout(Duration::from_millis(200), stdout.read_buf(&mut out)).await {
                    Ok(Ok(0)) => bail!("it ended"),
                    Ok(read) => drop(read?),
                    Err(_) => cluster.touch().await?,
                }
            }
        };
        let ended = timeout(PATIENCE, shown).await.unwrap_or_else(|_| Err(anyhow::anyhow!("it hung")));
        child.kill().await?;
        let complaint = child.wait_with_output().await?.stderr;
        Ok(Outcome {
            code: i32::from(ended.is_err()),
            out: String::from_utf8_lossy(&out).into_owned(),
            err: String::from_utf8_lossy(&complaint).into_owned(),
        })
    }
}

impl Agent for Kubectl {
    async fn act(&mut self, row: &Row, cluster: &Cluster) -> Result<Outcome> {
        match row.ends {
            Ends::Streams => self.follow(row, cluster).await,
            _ => self.shell(row.command).await,
        }
    }

    async fn end(self) -> Result<()> {
        Ok(())
    }
}

/// What both versions are asked to do.
fn rows() -> Vec<Row> {
    let mut rows = reading();
    rows.extend(watching());
    rows.extend(writing());
    rows.extend(writing_masks_back());
    rows
}

/// And what only the newer one can.
pub fn rows_1_37() -> Vec<Row> {
    let mut rows = rows();
    rows.extend([
        works("managed fields", "kubectl get secret db -o yaml --show-managed-fields", &["managedFields", "f:data", MASK]),
        streams("watch, with events", "exec kubectl get secrets -w -o json --output-watch-events", &["ADDED", "MODIFIED", MASK]),
        works("wait for a masked value", "kubectl wait secret/db --for=jsonpath='{.data.password}'=W21hc2tlZCBieSBjaGFwZXJvbmVd --timeout=5s", &["condition met"]),
        works("events of", "kubectl events --for secret/db", &["No events"]),
        differs("diff, server-side", "printf 'apiVersion: v1\\nkind: Secret\\nmetadata: {name: labelled, labels: {tier: lead}}\\n' | kubectl diff --server-side --force-conflicts -f -", &["+    tier: lead"]),
    ]);
    rows
}

/// kubectl 1.20 does not print the message of a Status whose reason is `Invalid`, but for two commands.
pub fn rows_1_20() -> Vec<Row> {
    let mut rows = rows();
    for row in rows.iter_mut().filter(|row| row.ends == Ends::Refused) {
        if !["edit that renames a key", "apply --force of the mask"].contains(&row.name) {
            row.shows = &["The request is invalid"];
        }
    }
    rows
}

fn reading() -> Vec<Row> {
    vec![
        works("list", "kubectl get secrets", &["db", "Opaque", "kubernetes.io/tls", "helm.sh/release.v1"]),
        works("list, wide, with labels", "kubectl get secrets -o wide --show-labels", &["app=shop"]),
        works("list of all namespaces", "kubectl get secrets -A", &["db", "NAMESPACE"]),
        works(
            "list in pages",
            "kubectl get secrets --chunk-size=2 -o yaml",
            &["kind: List", "name: db", "name: watched", MASK],
        ),
        works(
            "list by label and field",
            "kubectl get secrets -l app=shop --field-selector type=Opaque -o name",
            &["secret/db"],
        ),
        works(
            "get as YAML",
            "kubectl get secret db -o yaml",
            &["password: W21hc2tlZCBieSBjaGFwZXJvbmVd", "team: payments"],
        ),
        works(
            "get as JSON",
            "kubectl get secret tls registry login -o json",
            &["tls.key", ".dockerconfigjson", MASK],
        ),
        works("get as name", "kubectl get secret/db -o name", &["secret/db"]),
        works("get with JSONPath", "kubectl get secret db -o jsonpath={.data.password}", &[MASK]),
        works(
            "decode with JSONPath",
            "kubectl get secret db -o jsonpath={.data.password} | base64 -d",
            &["[masked by chaperone]"],
        ),
        works(
            "decode with a Go template",
            "kubectl get secret db -o go-template='{{.data.password|base64decode}}'",
            &["[masked by chaperone]"],
        ),
        works(
            "columns",
            "kubectl get secrets -o custom-columns=NAME:.metadata.name,DATA:.data",
            &["db", MASK],
        ),
        works("raw object", "kubectl get --raw /api/v1/namespaces/$NS/secrets/db", &[MASK]),
        works("raw list", "kubectl get --raw /api/v1/secrets", &["SecretList", MASK]),
        works(
            "raw watch",
            "kubectl get --raw \"/api/v1/namespaces/$NS/secrets?watch=true&timeoutSeconds=1\"",
            &["ADDED", MASK],
        ),
        works("describe one", "kubectl describe secret db", &["password:  21 bytes", "team: payments"]),
        works("describe all", "kubectl describe secrets", &["tls.key:", "release:"]),
        works(
            "view-last-applied",
            "kubectl apply view-last-applied secret db",
            &["password: '[masked by chaperone]'"],
        ),
        works("explain", "kubectl explain secret.data", &["base64"]),
        works("auth can-i", "kubectl auth can-i get secrets", &["yes"]),
    ]
}

fn watching() -> Vec<Row> {
    vec![
        streams("watch", "exec kubectl get secrets -w", &["db", "watched"]),
        streams("watch as YAML", "exec kubectl get secrets -w -o yaml", &["name: db", "touched:", MASK]),
        streams("watch-only", "exec kubectl get secrets --watch-only -o json", &["touched", MASK]),
    ]
}

fn writing() -> Vec<Row> {
    vec![
        works("label", "kubectl label secret labelled tier=gold", &["labeled"]),
        works("label all, dry run", "kubectl label secrets --all all=yes --dry-run=server", &["secret/db labeled"]),
        works("annotate, and show it", "kubectl annotate secret labelled note=hello -o yaml", &["note: hello", MASK]),
        works("patch", "kubectl patch secret labelled -p '{\"metadata\":{\"labels\":{\"how\":\"strategic\"}}}' -o yaml", &["how: strategic", MASK]),
        works("patch, merge", "kubectl patch secret labelled --type=merge -p '{\"metadata\":{\"labels\":{\"how\":\"merge\"}}}'", &["patched"]),
        works("patch, JSON Patch", "kubectl patch secret labelled --type=json -p '[{\"op\":\"replace\",\"path\":\"/metadata/labels/how\",\"value\":\"json\"}]'", &["patched"]),
        works("edit a label", "KUBE_EDITOR=\"sed -i 's/tier: gold/tier: silver/'\" kubectl edit secret labelled", &["secret/labelled edited"]),
        works("edit nothing", "KUBE_EDITOR=true kubectl edit secret db", &["Edit cancelled"]),
        works("apply of labels only", "printf 'apiVersion: v1\\nkind: Secret\\nmetadata: {name: labelled, labels: {tier: bronze}}\\n' | kubectl apply -f -", &["secret/labelled configured"]),
        works("server-side apply of labels only", "printf 'apiVersion: v1\\nkind: Secret\\nmetadata: {name: labelled, labels: {owner: me}}\\n' | kubectl apply --server-side --force-conflicts -f -", &["secret/labelled serverside-applied"]),
        works("diff of the mask", "kubectl get secret db -o yaml | kubectl diff -f -", &[]),
        differs("diff of labels only", "printf 'apiVersion: v1\\nkind: Secret\\nmetadata: {name: labelled, labels: {tier: iron}}\\n' | kubectl diff -f -", &["+    tier: iron"]),
        works("patch a new value", "kubectl patch secret rotated -p '{\"stringData\":{\"password\":\"first\"}}'", &["patched"]).leaves("rotated", "password", "first"),
        works("edit a new value", "KUBE_EDITOR=\"sed -i 's/password: .*/password: c2Vjb25k/'\" kubectl edit secret rotated", &["edited"]).leaves("rotated", "password", "second"),
        works("apply a new value", "printf 'apiVersion: v1\\nkind: Secret\\nmetadata: {name: rotated}\\nstringData: {password: third}\\n' | kubectl apply -f -", &["secret/rotated configured"]).leaves("rotated", "password", "third"),
        works("apply it again", "printf 'apiVersion: v1\\nkind: Secret\\nmetadata: {name: rotated}\\nstringData: {password: third}\\n' | kubectl apply -f -", &["secret/rotated"]).leaves("rotated", "password", "third"),
        // Both sides are masked.
        works("diff of a new value finds none", "printf 'apiVersion: v1\\nkind: Secret\\nmetadata: {name: rotated}\\ndata: {password: Zm91cnRo}\\n' | kubectl diff -f -", &[]).leaves("rotated", "password", "third"),
        works("server-side apply of a new value", "printf 'apiVersion: v1\\nkind: Secret\\nmetadata: {name: rotated}\\nstringData: {password: fifth}\\n' | kubectl apply --server-side --force-conflicts -f -", &["serverside-applied"]).leaves("rotated", "password", "fifth"),
        works("create", "kubectl create secret generic own --from-literal=color=blue", &["secret/own created"]).leaves("own", "color", "blue"),
        works("create, dry run", "kubectl create secret generic other --from-literal=color=blue --dry-run=server -o yaml", &[MASK]).removes("other"),
        works("create from a manifest", "printf 'apiVersion: v1\\nkind: Secret\\nmetadata: {name: made}\\nstringData: {color: red}\\n' | kubectl create -f - -o yaml", &[MASK]).leaves("made", "color", "red"),
        works("replace with own values", "printf 'apiVersion: v1\\nkind: Secret\\nmetadata: {name: made}\\nstringData: {color: green}\\n' | kubectl replace -f -", &["secret/made replaced"]).leaves("made", "color", "green"),
        works("delete", "kubectl delete secret own", &["secret \"own\" deleted"]).removes("own"),
        works("delete, dry run", "kubectl delete secret db --dry-run=server", &["deleted"]),
    ]
}

fn writing_masks_back() -> Vec<Row> {
    vec![
        refused(
            "replace with the mask",
            "kubectl get secret db -o yaml | kubectl replace -f -",
            &["data['key.bin']", HELD],
        ),
        refused(
            "apply of the mask",
            "kubectl get secret db -o yaml | kubectl apply -f -",
            &["stringData", HELD],
        ),
        refused(
            "server-side apply of the mask",
            "printf 'apiVersion: v1\nkind: Secret\nmetadata: {name: db}\ndata: %s\n' \"$(kubectl get secret db -o jsonpath={.data})\" | kubectl apply --server-side --force-conflicts -f -",
            &["data['key.bin']", HELD],
        ),
        refused(
            "patch with the mask",
            "kubectl patch secret db -p '{\"stringData\":{\"password\":\"[masked by chaperone]\"}}'",
            &["stringData.password", HELD],
        ),
        refused(
            "create a copy",
            "kubectl get secret db -o yaml | sed 's/name: db/name: copy/' | kubectl create -f -",
            &["data['key.bin']", HELD],
        )
        .removes("copy"),
        // Typed calls of newer versions are protobuf: no key is named.
        refused(
            "copy into a ConfigMap",
            "kubectl create configmap copy --from-literal=password=\"$(kubectl get secret db -o jsonpath={.data.password} | base64 -d)\"",
            &[HELD],
        ),
        refused(
            "edit that renames a key",
            "KUBE_EDITOR=\"sed -i 's/  password: /  passphrase: /'\" kubectl edit secret db",
            &[INVALID_EDIT],
        ),
        refused(
            "edit-last-applied",
            "KUBE_EDITOR=\"sed -i 's/name: db/name: db\\n  labels: {a: b}/'\" kubectl apply edit-last-applied secret db",
            &["last-applied-configuration", HELD],
        ),
        refused(
            "JSON Patch copy",
            "kubectl patch secret db --type=json -p '[{\"op\":\"copy\",\"from\":\"/data/password\",\"path\":\"/metadata/labels/x\"}]'",
            &["copy"],
        ),
        refused(
            "JSON Patch test",
            "kubectl patch secret db --type=json -p '[{\"op\":\"test\",\"path\":\"/data/password\",\"value\":\"YQ==\"}]'",
            &["test"],
        ),
        // Deletes first, and creates then: only the second can be told to be wrong.
        refused(
            "replace --force with the mask",
            "kubectl get secret forced-replace -o yaml | kubectl replace --force -f -",
            &["data.password", HELD],
        )
        .removes("forced-replace"),
        refused(
            "apply --force of the mask",
            "kubectl get secret forced-apply -o yaml | kubectl apply --force -f -",
            &["data.password", HELD],
        )
        .removes("forced-apply"),
    ]
}
