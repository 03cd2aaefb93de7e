//! The collector as its users meet it: the real program, driven over HTTP and the command line.

mod access;
mod durability;
mod evidence;
mod exports;
mod formats;
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
mod searching;
mod support;
mod upgrade;
