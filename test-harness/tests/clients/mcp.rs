//! `kubernetes-mcp-server`, through which agents use Kubernetes: its tools, over standard input and output.

use crate::agent::{Agent, Desk, Outcome, fetched};
use crate::cluster::Cluster;
use crate::lines::Conversation;
use crate::table::{HELD, MASK, Row, refused, works};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

/// A session with the server.
pub struct Mcp {
    server: Conversation,
    namespace: String,
    calls: u64,
    /// What the last call gave: an agent writes back what it read.
    last: String,
}

impl Mcp {
    /// As it is by default: lists are tables.
    pub async fn start(desk: Desk) -> Result<Option<Self>> {
        Self::start_with(desk, "table").await
    }

    /// Lists are YAML.
    pub async fn start_with_yaml(desk: Desk) -> Result<Option<Self>> {
        Self::start_with(desk, "yaml").await
    }

    /// Starts the server and the session.
    async fn start_with(desk: Desk, lists: &str) -> Result<Option<Self>> {
        let Some(program) = fetched("kubernetes-mcp-server") else { return Ok(None) };
        let mut command = desk.command(program);
        command
            .args(["--toolsets", "core,config,helm", "--log-file"])
            .arg(desk.folder.join("mcp.log"))
            .args(["--log-level", "9", "--list-output", lists]);
        let server = Conversation::start(command, &desk)?;
        let mut mcp = Self { server, namespace: desk.name, calls: 0, last: String::new() };
        let about = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "agent", "version": "1"}});
        mcp.ask("initialize", about).await?;
        mcp.server.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await?;
        let tools = mcp.ask("tools/list", json!({})).await?;
        ensure!(tools.to_string().contains("resources_create_or_update"), "no such tool: {tools}");
        Ok(Some(mcp))
    }

    async fn ask(&mut self, method: &str, params: Value) -> Result<Value> {
        self.calls += 1;
        let asked = json!({"jsonrpc": "2.0", "id": self.calls, "method": method, "params": params});
        self.server.say(&asked).await?;
        loop {
            let mut said = self.server.hear().await?;
            if said["id"] == self.calls {
                ensure!(said["error"].is_null(), "{}", said["error"]);
                return Ok(said["result"].take());
            }
        }
    }
}

impl Agent for Mcp {
    async fn act(&mut self, row: &Row, _: &Cluster) -> Result<Outcome> {
        let (tool, asked) = row.command.split_once(' ').context("a tool and what is asked of it")?;
        let asked = asked
            .replace("$SECRETS", r#""apiVersion": "v1", "kind": "Secret", "namespace": "$NS""#)
            .replace("$HEAD", "apiVersion: v1, kind: Secret")
            .replace("$NS", &self.namespace)
            .replace("$LAST", &self.last);
        let arguments = match tool {
            "resources_create_or_update" => json!({"resource": asked}),
            _ => serde_json::from_str(&asked)?,
        };
        let result = self.ask("tools/call", json!({"name": tool, "arguments": arguments})).await?;
        let contents = result["content"].as_array().context("no content")?;
        let text: String = contents.iter().filter_map(|content| content["text"].as_str()).collect();
        self.last.clone_from(&text);
        let failed = result["isError"] == true;
        let out = format!("{text}{}", result["structuredContent"]);
        Ok(Outcome { code: i32::from(failed), out, err: String::new() })
    }

    async fn end(self) -> Result<()> {
        self.server.end().await
    }
}

/// What is asked of it. `resources_create_or_update` is followed by the resource; `$LAST` is what was read last.
pub fn rows() -> Vec<Row> {
    vec![
        works("list", "resources_list {$SECRETS}", &["db", "helm.sh/release.v1"]),
        works(
            "list of all namespaces",
            r#"resources_list {"apiVersion": "v1", "kind": "Secret"}"#,
            &["db", "mcp"],
        ),
        works("list by label", r#"resources_list {$SECRETS, "labelSelector": "app=shop"}"#, &["db"]),
        works("get", r#"resources_get {$SECRETS, "name": "db"}"#, &[MASK, "team: payments"]),
        refused(
            "write back what was read",
            "resources_create_or_update $LAST",
            &["data['key.bin']", HELD],
        ),
        works(
            "label",
            "resources_create_or_update {$HEAD, metadata: {name: labelled, namespace: $NS, labels: {tier: gold}}}",
            &["tier: gold", MASK],
        ),
        works(
            "write a value",
            "resources_create_or_update {$HEAD, metadata: {name: rotated, namespace: $NS}, stringData: {password: first}}",
            &[MASK],
        )
        .leaves("rotated", "password", "first"),
        works(
            "create",
            "resources_create_or_update {$HEAD, metadata: {name: own, namespace: $NS}, stringData: {color: blue}}",
            &[MASK],
        )
        .leaves("own", "color", "blue"),
        refused(
            "create from a mask",
            "resources_create_or_update {$HEAD, metadata: {name: copy, namespace: $NS}, stringData: {color: '[masked by chaperone]'}}",
            &["stringData.color", HELD],
        )
        .removes("copy"),
        refused(
            "copy a mask into a ConfigMap",
            "resources_create_or_update {apiVersion: v1, kind: ConfigMap, metadata: {name: copy, namespace: $NS}, data: {color: '[masked by chaperone]'}}",
            &["data.color", HELD],
        ),
        works("delete", r#"resources_delete {$SECRETS, "name": "own"}"#, &["deleted successfully"])
            .removes("own"),
        works("its own configuration", "configuration_view {}", &["current-context"]),
        // Helm passes over releases that it cannot read, and does not remove them.
        works("helm list finds none", r#"helm_list {"namespace": "$NS"}"#, &["No Helm releases found"]),
        refused("helm uninstall", r#"helm_uninstall {"name": "web", "namespace": "$NS"}"#, &["no release provided"]),
    ]
}

/// What is asked of it where it lists in YAML.
pub fn rows_with_yaml() -> Vec<Row> {
    vec![
        works("list", "resources_list {$SECRETS}", &["tls.key", MASK]),
        works(
            "list of all namespaces",
            r#"resources_list {"apiVersion": "v1", "kind": "Secret"}"#,
            &["tls.key", MASK],
        ),
        works(
            "list by field",
            r#"resources_list {$SECRETS, "fieldSelector": "metadata.name=labelled"}"#,
            &[MASK],
        ),
        works("get", r#"resources_get {$SECRETS, "name": "registry"}"#, &[".dockerconfigjson", MASK]),
        refused(
            "write back what was read",
            "resources_create_or_update $LAST",
            &["data['.dockerconfigjson']", HELD],
        ),
    ]
}
