//! The Python client, as scripts and agents' tools use it.

use crate::agent::{Agent, Desk, Outcome};
use crate::cluster::Cluster;
use crate::lines::Conversation;
use crate::table::{HELD, MASK, Row, refused, works};
use anyhow::Result;
use chaperone_test_harness::process::{fetched, repository};
use serde_json::json;

/// A Python that has the client.
pub struct Python(Conversation);

impl Python {
    /// Starts it, where `.venv` has the client.
    pub async fn start(desk: Desk) -> Result<Option<Self>> {
        let Ok(python) = fetched("python3") else { return Ok(None) };
        let there = desk.command(&python).args(["-c", "import kubernetes"]).output().await?;
        if !there.status.success() {
            return Ok(None);
        }
        let mut command = desk.command(python);
        command.arg(repository().join("test-harness/tests/clients/driver.py"));
        Ok(Some(Self(Conversation::start(command, &desk)?)))
    }
}

impl Agent for Python {
    async fn act(&mut self, row: &Row, _: &Cluster) -> Result<Outcome> {
        self.0.say(&json!(row.command)).await?;
        let said = self.0.hear().await?;
        let text = |field: &str| said[field].as_str().unwrap_or_default().to_owned();
        Ok(Outcome { code: i32::from(said["code"] != 0), out: text("out"), err: text("err") })
    }

    async fn end(self) -> Result<()> {
        self.0.end().await
    }
}

/// What is asked of it.
pub fn rows() -> Vec<Row> {
    let mut rows = reading();
    rows.extend(writing());
    rows.extend(writing_masks_back());
    rows
}

fn reading() -> Vec<Row> {
    vec![
        works(
            "read",
            "print(v1.read_namespaced_secret('db', NS))",
            &["'password': 'W21hc2tlZCBieSBjaGFwZXJvbmVd'"],
        ),
        works(
            "read, as it comes",
            "print(v1.read_namespaced_secret('db', NS, _preload_content=False).data)",
            &[MASK],
        ),
        works("list", "print(v1.list_namespaced_secret(NS))", &["tls.key", "'watched'", MASK]),
        works("list of all namespaces", "print(v1.list_secret_for_all_namespaces())", &["'db'", MASK]),
        works(
            "list in pages",
            "
            first = v1.list_namespaced_secret(NS, limit=2)
            print(v1.list_namespaced_secret(NS, limit=50, _continue=first.metadata._continue))
            ",
            &["'watched'", MASK],
        ),
        works(
            "watch",
            "
            for event in watch.Watch().stream(v1.list_namespaced_secret, NS, timeout_seconds=1):
                print(event['type'], event['raw_object'])
            ",
            &["ADDED", MASK],
        ),
        works("dynamic get", "print(secrets.get(name='db', namespace=NS))", &[MASK]),
        works("dynamic list", "print(secrets.get(namespace=NS))", &["tls.key", MASK]),
        works(
            "dynamic watch",
            "
            for event in secrets.watch(namespace=NS, timeout=1):
                print(event['type'], event['raw_object'])
            ",
            &["ADDED", MASK],
        ),
    ]
}

fn writing() -> Vec<Row> {
    vec![
        works(
            "patch of labels",
            "print(v1.patch_namespaced_secret('labelled', NS, {'metadata': {'labels': {'tier': 'gold'}}}))",
            &["'tier': 'gold'", MASK],
        ),
        works(
            "JSON Patch of labels",
            "
            patch = [{'op': 'add', 'path': '/metadata/labels/how', 'value': 'json'}]
            print(v1.patch_namespaced_secret('labelled', NS, patch))
            ",
            &["'how': 'json'", MASK],
        ),
        works(
            "dynamic patch of labels",
            "
            patch = {'metadata': {'labels': {'how': 'merge'}}}
            content_type = 'application/merge-patch+json'
            print(secrets.patch(name='labelled', namespace=NS, body=patch, content_type=content_type))
            ",
            &["merge", MASK],
        ),
        works(
            "dynamic server-side apply of labels",
            "
            labels = {'apiVersion': 'v1', 'kind': 'Secret', 'metadata': {'name': 'labelled', 'labels': {'how': 'apply'}}}
            print(secrets.server_side_apply(name='labelled', namespace=NS, body=labels, field_manager='me', force_conflicts=True))
            ",
            &["apply", MASK],
        ),
        works(
            "read, drop the data, patch",
            "
            read = v1.read_namespaced_secret('labelled', NS)
            read.data = None
            read.metadata.labels['tier'] = 'silver'
            print(v1.patch_namespaced_secret('labelled', NS, read))
            ",
            &["'tier': 'silver'", MASK],
        ),
        works(
            "patch of a value",
            "v1.patch_namespaced_secret('rotated', NS, {'stringData': {'password': 'first'}})",
            &[],
        )
        .leaves("rotated", "password", "first"),
        works(
            "create",
            "
            meta = client.V1ObjectMeta(name='own', labels={'mine': 'yes'})
            print(v1.create_namespaced_secret(NS, client.V1Secret(metadata=meta, string_data={'color': 'blue'})))
            ",
            &[MASK],
        )
        .leaves("own", "color", "blue"),
        works(
            "create from a dict",
            "
            meta = {'name': 'made', 'labels': {'mine': 'yes'}}
            made = {'apiVersion': 'v1', 'kind': 'Secret', 'metadata': meta, 'stringData': {'color': 'red'}}
            utils.create_from_dict(v1.api_client, made, namespace=NS)
            ",
            &[],
        )
        .leaves("made", "color", "red"),
        works(
            "replace with a value",
            "
            meta = client.V1ObjectMeta(name='own', labels={'mine': 'yes'})
            own = client.V1Secret(metadata=meta, string_data={'color': 'green'})
            print(v1.replace_namespaced_secret('own', NS, own))
            ",
            &[MASK],
        )
        .leaves("own", "color", "green"),
        works("delete", "print(v1.delete_namespaced_secret('own', NS))", &["Success"]).removes("own"),
        works(
            "delete by label",
            "print(v1.delete_collection_namespaced_secret(NS, label_selector='mine=yes'))",
            &[],
        )
        .removes("made"),
    ]
}

fn writing_masks_back() -> Vec<Row> {
    vec![
        refused(
            "read, then replace",
            "
            read = v1.read_namespaced_secret('db', NS)
            read.metadata.labels['tier'] = 'gold'
            v1.replace_namespaced_secret('db', NS, read)
            ",
            &["(422)", HELD],
        ),
        refused(
            "read, then patch with all of it",
            "
            read = v1.read_namespaced_secret('db', NS)
            read.metadata.labels['tier'] = 'gold'
            v1.patch_namespaced_secret('db', NS, read)
            ",
            &["(422)", HELD],
        ),
        refused(
            "dynamic read, then replace",
            "
            read = secrets.get(name='db', namespace=NS)
            secrets.replace(body=read.to_dict(), namespace=NS)
            ",
            &["(422)", HELD],
        ),
        refused(
            "dynamic server-side apply",
            "
            read = secrets.get(name='db', namespace=NS).to_dict()
            read = {'apiVersion': 'v1', 'kind': 'Secret', 'metadata': {'name': 'db'}, 'data': read['data']}
            secrets.server_side_apply(name='db', namespace=NS, body=read, field_manager='me', force_conflicts=True)
            ",
            &["(422)", "data['key.bin']", HELD],
        ),
        refused(
            "copy of a Secret",
            "
            read = v1.read_namespaced_secret('db', NS)
            copy = client.V1Secret(metadata=client.V1ObjectMeta(name='copy'), data=read.data)
            v1.create_namespaced_secret(NS, copy)
            ",
            &["(422)", "data['key.bin']", HELD],
        )
        .removes("copy"),
        refused(
            "JSON Patch test",
            "v1.patch_namespaced_secret('db', NS, [{'op': 'test', 'path': '/data/password', 'value': 'YQ=='}])",
            &["(422)", "only add, remove and replace are allowed"],
        ),
    ]
}
