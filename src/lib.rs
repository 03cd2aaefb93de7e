//! Chaperone: a Proxy-Wasm filter between AI agents and the Kubernetes API server.
//!
//! It verifies the agent's token, replaces the credential, masks Secret values and records every exchange. All of it
//! is host-agnostic and pure (events in, effects out, time and randomness are arguments) but for `envoy`, the only
//! room that names `proxy_wasm`. Data flows one way:
//!
//! | room | what it does |
//! |---|---|
//! | [`config`] | the plugin configuration: parsed and validated, all errors at once |
//! | [`kube`] | the API's vocabulary: what a request asks for, media types, `Status` |
//! | [`identity`] | who asks: JWT, keys, claims |
//! | [`access`] | whether they may: rules and built-in guards |
//! | [`credential`] | what goes upstream in place of the agent's token |
//! | [`mask`] | what the agent must not see, and must not write back |
//! | [`record`] | what is written down, chained, signed and posted |
//! | [`stream`] | what flows once a request has switched protocols: exec, attach, port-forward |
//! | [`exchange`] | one request and its response, as a state machine over all of the above |
//! | [`metrics`] | what is counted |
//! | `envoy` | the shell: host calls in, host calls out (wasm only) |

// The library itself is checked without `cfg(test)`; a test that overflows fails, as it should.
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

pub mod access;
pub mod config;
pub mod credential;
#[cfg(target_os = "wasi")]
mod envoy;
pub mod exchange;
pub mod identity;
pub mod kube;
pub mod mask;
pub mod metrics;
pub mod record;
pub mod stream;
mod strict_json;
