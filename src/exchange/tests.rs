//! The machine as a whole: events in, effects and entries out.

#[cfg(not(target_arch = "wasm32"))]
mod captures;
mod confirmed;
mod credentials;
mod masking;
mod recorded;
mod refused;
mod responses;
mod rig;
mod streams;
