//! Chaperone: a Proxy-Wasm filter between AI agents and the Kubernetes API server.

pub mod mask;
