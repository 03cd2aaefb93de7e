//! Chaperone's collector: it receives the filter's records, keeps them durably, and shows them to auditors.
//!
//! - [`server`] takes batches over HTTP and answers once they are on disk; it also serves the read API.
//! - [`store`] is where they are kept: the batches exactly as they came, and an index over their entries.
//! - [`evidence`] checks signatures and chains, so that nobody has to take the store's word.
//! - [`export`] writes exchanges in the formats of others.
//! - [`forward`] sends them to others as they come.
//! - [`reconcile`] compares the records with the API server's audit log.
//! - [`present`] turns records, which are untrusted, into text that is safe on a terminal.
//! - [`ui`] shows them in a browser.
//! - [`cli`] is the command line around all of it.

pub mod cli;
pub mod evidence;
pub mod export;
pub mod forward;
pub mod present;
pub mod reconcile;
pub mod server;
pub mod store;
pub mod ui;
