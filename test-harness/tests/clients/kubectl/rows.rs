//! What kubectl is asked to do.

use crate::table::{HELD, MASK, Row, differs, refused, streams, works};

/// What JSON Patches of Secrets may do.
const ALLOWED: &str = "only add, remove and replace are allowed";
/// What stands in for the API server's own words.
const WITHHELD: &str =
    "the API server's message was withheld by chaperone, because it may quote what is masked";

/// What both versions are asked to do.
pub fn rows() -> Vec<Row> {
    [
        reading(),
        watching(),
        writing_labels(),
        writing_values(),
        writing_masks_back(),
        refused_by_the_cluster(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// And what only the newer one can.
pub fn rows_1_37() -> Vec<Row> {
    let mut rows = rows();
    rows.extend([
        works(
            "managed fields",
            "kubectl get secret db -o yaml --show-managed-fields",
            &["managedFields", "f:data", MASK],
        ),
        works(
            "wait for a value",
            "kubectl wait secret/db --for=jsonpath='{.data.password}'=W21hc2tlZCBieSBjaGFwZXJvbmVd --timeout=5s",
            &["condition met"],
        ),
        works("events of", "kubectl events --for secret/db", &["No events"]),
        differs(
            "diff of labels, server-side",
            "secret 'labelled, labels: {tier: lead}' | kubectl diff --server-side --force-conflicts -f -",
            &["+    tier: lead"],
        ),
        refused(
            "diff of the mask, server-side",
            "kubectl get secret db -o yaml | kubectl diff --server-side --force-conflicts -f -",
            &["data['key.bin']", HELD],
        ),
    ]);
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
        works("get, with all that is logged", "kubectl get secret db -o yaml -v=9", &["Response Body", MASK]),
        works("JSONPath", "kubectl get secret db -o jsonpath={.data.password}", &[MASK]),
        works(
            "JSONPath, decoded",
            "kubectl get secret db -o jsonpath={.data.password} | base64 -d",
            &["[masked by chaperone]"],
        ),
        works(
            "Go template, decoded",
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
            r#"kubectl get --raw "/api/v1/namespaces/$NS/secrets?watch=true&timeoutSeconds=1""#,
            &["ADDED", MASK],
        ),
        // The mask's length, not the value's.
        works("describe one", "kubectl describe secret db", &["password:  21 bytes", "team: payments"]),
        works("describe all", "kubectl describe secrets", &["tls.key:", "release:"]),
        works(
            "view-last-applied",
            "kubectl apply view-last-applied secret db",
            &["password: '[masked by chaperone]'"],
        ),
        works(
            "environment from a Secret, resolved",
            "kubectl create deployment web --image=nginx && kubectl set env deployment/web --from=secret/db \
             && kubectl set env deployment/web --list --resolve",
            &["PASSWORD=[masked by chaperone]"],
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
        streams(
            "watch with events",
            "exec kubectl get secrets -w -o json --output-watch-events",
            &["ADDED", "MODIFIED", MASK],
        ),
    ]
}

fn writing_labels() -> Vec<Row> {
    vec![
        works("label", "kubectl label secret labelled tier=gold", &["labeled"]),
        works(
            "label all, dry run",
            "kubectl label secrets --all all=yes --dry-run=server",
            &["secret/db labeled"],
        ),
        works(
            "annotate, and show it",
            "kubectl annotate secret labelled note=hello -o yaml",
            &["note: hello", MASK],
        ),
        works(
            "patch",
            r#"kubectl patch secret labelled -p '{"metadata":{"labels":{"how":"strategic"}}}' -o yaml"#,
            &["how: strategic", MASK],
        ),
        works(
            "merge patch",
            r#"kubectl patch secret labelled --type=merge -p '{"metadata":{"labels":{"how":"merge"}}}'"#,
            &["patched"],
        ),
        works(
            "JSON Patch",
            r#"kubectl patch secret labelled --type=json -p '[{"op":"remove","path":"/metadata/labels/how"}]'"#,
            &["patched"],
        ),
        works(
            "edit",
            "KUBE_EDITOR=\"sed -i 's/tier: gold/tier: silver/'\" kubectl edit secret labelled",
            &["secret/labelled edited"],
        ),
        works("edit nothing", "KUBE_EDITOR=true kubectl edit secret db", &["Edit cancelled"]),
        works(
            "apply",
            "secret 'labelled, labels: {tier: bronze}' | kubectl apply -f -",
            &["secret/labelled configured"],
        ),
        works(
            "server-side apply",
            "secret 'labelled, labels: {owner: me}' | kubectl apply --server-side --force-conflicts -f -",
            &["secret/labelled serverside-applied"],
        ),
        differs("diff", "secret 'labelled, labels: {tier: iron}' | kubectl diff -f -", &["+    tier: iron"]),
        works("delete, dry run", "kubectl delete secret db --dry-run=server", &["deleted"]),
    ]
}

fn writing_values() -> Vec<Row> {
    vec![
        works(
            "patch a value",
            r#"kubectl patch secret rotated -p '{"stringData":{"password":"first"}}'"#,
            &["patched"],
        )
        .leaves("rotated", "password", "first"),
        works(
            "edit a value",
            "KUBE_EDITOR=\"sed -i 's/password: .*/password: c2Vjb25k/'\" kubectl edit secret rotated",
            &["edited"],
        )
        .leaves("rotated", "password", "second"),
        works(
            "apply a value",
            "secret rotated 'stringData: {password: third}' | kubectl apply -f -",
            &["secret/rotated configured"],
        )
        .leaves("rotated", "password", "third"),
        // kubectl cannot know that it is there already.
        works(
            "apply it again",
            "secret rotated 'data: {password: dGhpcmQ=}' | kubectl apply -f -",
            &["secret/rotated configured"],
        )
        .leaves("rotated", "password", "third"),
        // Both sides are masked.
        works(
            "diff of a value finds none",
            "secret rotated 'data: {password: Zm91cnRo}' | kubectl diff -f -",
            &[],
        )
        .leaves("rotated", "password", "third"),
        works(
            "server-side apply of a value",
            "secret rotated 'stringData: {password: fifth}' | kubectl apply --server-side --force-conflicts -f -",
            &["serverside-applied"],
        )
        .leaves("rotated", "password", "fifth"),
        works(
            "create",
            "kubectl create secret generic own --from-literal=color=blue",
            &["secret/own created"],
        )
        .leaves("own", "color", "blue"),
        works("read what was created", "kubectl get secret own -o yaml", &[MASK]),
        works(
            "create for a registry",
            "kubectl create secret docker-registry pull --docker-server=r.example.com --docker-username=u --docker-password=p",
            &["secret/pull created"],
        ),
        works(
            "create, dry run",
            "kubectl create secret generic other --from-literal=color=blue --dry-run=server -o yaml",
            &[MASK],
        )
        .removes("other"),
        works(
            "create from a manifest",
            "secret made 'stringData: {color: red}' | kubectl create -f - -o yaml",
            &[MASK],
        )
        .leaves("made", "color", "red"),
        works(
            "apply of a Kustomize generator",
            "printf 'secretGenerator: [{name: gen, literals: [color=blue]}]' >kustomization.yaml && kubectl apply -k .",
            &["secret/gen-", "created"],
        ),
        works(
            "replace with a value",
            "secret made 'stringData: {color: green}' | kubectl replace -f -",
            &["secret/made replaced"],
        )
        .leaves("made", "color", "green"),
        // As without a gateway: what a replacement leaves out is dropped.
        works(
            "replace without a value",
            "kubectl get secret dropped -o yaml | sed /W21hc2tlZCBieSBjaGFwZXJvbmVd/d | sed /^data:/d | kubectl replace -f -",
            &["replaced"],
        )
        .drops("dropped", "password"),
        works("delete", "kubectl delete secret own", &["secret \"own\" deleted"]).removes("own"),
    ]
}

fn writing_masks_back() -> Vec<Row> {
    vec![
        // An editor's view, written back as it is: nothing has changed, and nothing would.
        works("diff of the mask finds none", "kubectl get secret db -o yaml | kubectl diff -f -", &[]),
        refused(
            "replace",
            "kubectl get secret db -o yaml | kubectl replace -f -",
            &["data['key.bin']", HELD],
        ),
        refused("apply", "kubectl get secret db -o yaml | kubectl apply -f -", &["stringData", HELD]),
        refused(
            "server-side apply",
            r#"secret db "data: $(kubectl get secret db -o jsonpath={.data})" | kubectl apply --server-side --force-conflicts -f -"#,
            &["data['key.bin']", HELD],
        ),
        refused(
            "patch",
            r#"kubectl patch secret db -p '{"stringData":{"password":"[masked by chaperone]"}}'"#,
            &["stringData.password", HELD],
        ),
        refused(
            "copy of a Secret",
            "kubectl get secret db -o yaml | sed 's/name: db/name: copy/' | kubectl create -f -",
            &["data['key.bin']", HELD],
        )
        .removes("copy"),
        // Newer versions send protobuf here, in which no key is named.
        refused(
            "copy into a ConfigMap",
            r#"kubectl create configmap copy --from-literal="password=$(kubectl get secret db -o jsonpath={.data.password})""#,
            &[HELD],
        ),
        refused(
            "edit that renames a key",
            "KUBE_EDITOR=\"sed -i 's/  password: /  passphrase: /'\" kubectl edit secret db",
            &["data.passphrase", HELD],
        ),
        refused(
            "edit-last-applied",
            "KUBE_EDITOR=\"sed -i 's/name: db/name: db\\n  labels: {a: b}/'\" kubectl apply edit-last-applied secret db",
            &["last-applied-configuration", HELD],
        ),
        // Deletes first, and creates then: only the second is refused.
        refused(
            "replace --force",
            "kubectl get secret forced-replace -o yaml | kubectl replace --force -f -",
            &["data.password", HELD],
        )
        .removes("forced-replace"),
        refused(
            "apply --force",
            "kubectl get secret forced-apply -o yaml | kubectl apply --force -f -",
            &["last-applied-configuration", HELD],
        ),
        refused(
            "JSON Patch copy",
            r#"kubectl patch secret db --type=json -p '[{"op":"copy","from":"/data/password","path":"/metadata/labels/x"}]'"#,
            &["\"copy\" at", ALLOWED],
        ),
        refused(
            "JSON Patch test",
            r#"kubectl patch secret db --type=json -p '[{"op":"test","path":"/data/password","value":"YQ=="}]'"#,
            &["\"test\" at", ALLOWED],
        ),
    ]
}

/// What the API server refuses: its words may quote the object.
fn refused_by_the_cluster() -> Vec<Row> {
    vec![
        refused(
            "write to an immutable Secret",
            r#"kubectl patch secret login -p '{"stringData":{"password":"new"}}'"#,
            &["is invalid: data:", WITHHELD],
        ),
        refused(
            "another type",
            r#"kubectl patch secret tls -p '{"type":"Opaque"}'"#,
            &["is invalid: type:", WITHHELD],
        ),
        refused(
            "a value that is no base64",
            "secret rotated 'data: {password: \"%\"}' | kubectl apply -f -",
            &[WITHHELD],
        ),
        refused("no such Secret", "kubectl get secret nothing", &["secrets \"nothing\" not found"]),
    ]
}
