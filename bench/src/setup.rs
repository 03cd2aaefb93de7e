//! What is compared: Envoy with something in front of the API server, or nothing.

use crate::upstream::TOKEN;
use crate::work::SINK;
use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde_json::{Value, json};
use std::path::Path;

/// What stands in front of the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum Setup {
    /// Envoy, passing through.
    #[value(name = "a")]
    PassThrough,
    /// Envoy's own `jwt_authn` and `credential_injector`: no masking, no records.
    #[value(name = "b")]
    Native,
    /// The same, and an access log of metadata.
    #[value(name = "c")]
    AccessLog,
    /// An external processor in Rust that does what Chaperone does, with Chaperone's own core.
    #[value(name = "d")]
    ExtProc,
    /// As `b`, and what Lua can do of masking and recording.
    #[value(name = "e")]
    Lua,
    /// Chaperone: metadata of everything, buffered.
    #[value(name = "f")]
    Metadata,
    /// Chaperone: requests and responses, buffered.
    #[value(name = "g")]
    RequestResponse,
    /// Chaperone: requests and responses, nothing goes upstream before the collector holds its record.
    #[value(name = "h")]
    Confirmed,
    /// As `f`, in a host that verifies no signatures for it.
    #[value(name = "i")]
    NoForeign,
}

impl Setup {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::PassThrough,
        Self::Native,
        Self::AccessLog,
        Self::ExtProc,
        Self::Lua,
        Self::Metadata,
        Self::RequestResponse,
        Self::Confirmed,
        Self::NoForeign,
    ];

    /// Its letter.
    pub fn letter(self) -> &'static str {
        match self {
            Self::PassThrough => "a",
            Self::Native => "b",
            Self::AccessLog => "c",
            Self::ExtProc => "d",
            Self::Lua => "e",
            Self::Metadata => "f",
            Self::RequestResponse => "g",
            Self::Confirmed => "h",
            Self::NoForeign => "i",
        }
    }

    /// In a table.
    pub fn title(self) -> &'static str {
        match self {
            Self::PassThrough => "Envoy passing through",
            Self::Native => "jwt_authn + credential_injector",
            Self::AccessLog => "b + access log",
            Self::ExtProc => "ext_proc in Rust, RequestResponse",
            Self::Lua => "b + Lua",
            Self::Metadata => "Chaperone, Metadata",
            Self::RequestResponse => "Chaperone, RequestResponse",
            Self::Confirmed => "Chaperone, Confirmed",
            Self::NoForeign => "f without the host's signature check",
        }
    }

    /// Whether the filter is in it.
    pub fn is_chaperone(self) -> bool {
        matches!(self, Self::Metadata | Self::RequestResponse | Self::Confirmed | Self::NoForeign)
    }

    /// Whether it keeps Secrets from agents.
    pub fn masks(self) -> bool {
        self.is_chaperone() || matches!(self, Self::ExtProc | Self::Lua)
    }

    /// The filter's configuration; what has no filter of ours in it has none.
    pub fn adapt(self, filter: &mut Value, rules: usize) {
        let (level, delivery) = match self {
            Self::RequestResponse | Self::ExtProc => ("RequestResponse", "Buffered"),
            Self::Confirmed => ("RequestResponse", "Confirmed"),
            _ => ("Metadata", "Buffered"),
        };
        filter["recording"]["rules"] = json!([{"level": level, "delivery": delivery}]);
        // So that a burst is not refused while the collector, on the same two cores, is behind.
        filter["recording"]["limits"] = json!({"outboxBytes": 268_435_456});
        let rule = |index: usize| {
            json!({"effect": "deny", "subjects": {"groups": [format!("group-{index}")]}, "verbs": ["delete"],
                "apiGroups": ["apps"], "resources": ["deployments"], "namespaces": [format!("team-{index}")]})
        };
        if rules > 0 {
            filter["access"] = json!({"rules": (0..rules).map(rule).collect::<Vec<_>>()});
        }
    }
}

/// What the set-ups of one run share.
pub struct Parts<'a> {
    /// Who signs the agents' tokens.
    pub issuer: &'a str,
    /// Its keys.
    pub keys: &'a Value,
    /// Where the external processor listens.
    pub ext_proc: Option<&'a Value>,
    /// The file of the access log.
    pub access_log: &'a Path,
    /// What the module may use of its host, but the signature check.
    pub capabilities: &'a [String],
}

/// Puts a set-up into a bootstrap that has the filter in it.
pub fn apply(setup: Setup, bootstrap: &mut Value, parts: &Parts<'_>) -> Result<()> {
    const LISTENER: &str = "/static_resources/listeners/0";
    let listener = bootstrap.pointer_mut(LISTENER).context("no listener")?;
    if setup == Setup::Lua {
        // It holds whole bodies.
        listener["per_connection_buffer_limit_bytes"] = json!(8 << 20);
    }
    let chain = listener
        .pointer_mut("/filter_chains/0/filters/0/typed_config")
        .context("no HTTP connection manager")?;
    if setup == Setup::AccessLog {
        chain["access_log"] = access_log(parts.access_log);
    }
    let filters =
        chain.pointer_mut("/http_filters").and_then(Value::as_array_mut).context("no HTTP filters")?;
    let wasm = filters.remove(0);
    let ours = match setup {
        Setup::PassThrough => vec![],
        Setup::Native | Setup::AccessLog => vec![jwt_authn(parts), credential_injector()],
        Setup::Lua => vec![jwt_authn(parts), credential_injector(), lua()],
        Setup::ExtProc => vec![ext_proc()],
        Setup::Metadata | Setup::RequestResponse | Setup::Confirmed => vec![wasm],
        Setup::NoForeign => vec![restricted(wasm, parts.capabilities)],
    };
    filters.splice(0..0, ours);
    bootstrap["static_resources"]["secrets"] = json!([
        {"name": "upstream", "generic_secret": {"secret": {"inline_string": format!("Bearer {TOKEN}")}}}
    ]);
    if let Some(address) = parts.ext_proc {
        let clusters = bootstrap
            .pointer_mut("/static_resources/clusters")
            .and_then(Value::as_array_mut)
            .context("no clusters")?;
        clusters.push(json!({
            "name": "ext-proc", "type": "STATIC", "connect_timeout": "1s",
            "load_assignment": {"cluster_name": "ext-proc", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": address}}}]}]},
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}}}}
        }));
    }
    Ok(())
}

fn jwt_authn(parts: &Parts<'_>) -> Value {
    json!({"name": "envoy.filters.http.jwt_authn", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        "providers": {"idp": {
            "issuer": parts.issuer, "audiences": ["kubernetes"], "local_jwks": {"inline_string": parts.keys.to_string()},
            "payload_in_metadata": "payload",
            // Chaperone remembers as many.
            "jwt_cache_config": {"jwt_cache_size": 10_000}}},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}}]}})
}

fn credential_injector() -> Value {
    json!({"name": "envoy.filters.http.credential_injector", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector",
        "overwrite": true,
        "credential": {"name": "envoy.http.injected_credentials.generic", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic",
            "credential": {"name": "upstream"}}}}})
}

fn access_log(file: &Path) -> Value {
    json!([{"name": "envoy.access_loggers.file", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
        "path": file,
        "log_format": {"json_format": {
            "time": "%START_TIME%", "method": "%REQ(:METHOD)%", "path": "%REQ(:PATH)%", "status": "%RESPONSE_CODE%",
            "agent": "%REQ(USER-AGENT)%", "source": "%DOWNSTREAM_REMOTE_ADDRESS%", "bytes": "%BYTES_SENT%",
            "duration": "%DURATION%",
            "user": "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:payload:sub)%",
            "session": "%DYNAMIC_METADATA(envoy.filters.http.jwt_authn:payload:sid)%"}}}}])
}

fn ext_proc() -> Value {
    json!({"name": "envoy.filters.http.ext_proc", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
        "grpc_service": {"envoy_grpc": {"cluster_name": "ext-proc"}, "timeout": "30s"},
        "message_timeout": "10s",
        "processing_mode": {"request_header_mode": "SEND", "response_header_mode": "SEND",
            "request_body_mode": "STREAMED", "response_body_mode": "STREAMED"}}})
}

fn lua() -> Value {
    json!({"name": "envoy.filters.http.lua", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
        "default_source_code": {"inline_string": include_str!("record.lua").replace("SINK", SINK)}}})
}

/// The plugin with these capabilities and no others.
fn restricted(mut wasm: Value, capabilities: &[String]) -> Value {
    let allowed: serde_json::Map<String, Value> =
        capabilities.iter().map(|name| (name.clone(), json!({}))).collect();
    wasm["typed_config"]["config"]["capability_restriction_config"] =
        json!({"allowed_capabilities": allowed});
    wasm
}
