//! The collector as its users meet it: the real program, driven over HTTP and the command line.

mod access;
mod bodies;
mod durability;
mod evidence;
mod exports;
mod formats;
mod forwarding;
mod hostile;
mod ingest;
mod issuer;
mod login;
mod mutations;
mod postgres;
mod reading;
mod reconciling;
mod replicas;
mod retention;
mod s3;
mod searching;
mod support;
mod tombstones;
mod upgrade;
