//! Where records are kept.
//!
//! A store keeps two things: the batches, byte for byte as they came, which are the evidence; and an index over
//! their entries (sessions, exchanges, recorders, gaps), which is derived from them and only makes reading quick.
//! [`batch`] and [`merge`] know no database. [`Writer`] and [`Reader`] speak SQL, which stands nowhere else, and the same
//! to an SQLite file and to PostgreSQL: where these differ, the schema does, and a few words.

pub mod access;
pub mod batch;
pub mod bodies;
mod database;
mod entries;
mod error;
mod evidence;
pub mod filter;
pub mod forwarding;
mod index;
pub mod login;
pub mod merge;
pub mod model;
mod packed;
mod pages;
mod read;
pub mod retention;
mod rows;
mod schema;
mod statement;
pub mod survey;
pub mod tail;
mod words;
mod write;
pub mod writer;

pub use bodies::{Bodies, BodiesUrl};
pub use database::{Database, PostgresUrl, UnknownDatabase};
pub use error::StoreError;
pub use read::Reader;
pub use write::Writer;
