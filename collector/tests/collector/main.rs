//! The collector as its users meet it: the real program, driven over HTTP and the command line.

mod access;
mod bodies;
mod durability;
mod evidence;
mod exports;
mod formats;
mod forwarding;
mod help;
mod hostile;
mod ingest;
mod issuer;
mod login;
mod mutations;
mod openapi;
mod postgres;
mod reading;
mod reconciling;
mod remote;
mod replicas;
mod retention;
mod s3;
mod searching;
mod support;
mod tailing;
mod tombstones;
mod upgrade;
