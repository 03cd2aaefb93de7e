//! The collector as its users meet it: the real program, driven over HTTP and the command line.

mod access;
mod durability;
mod evidence;
mod exports;
mod formats;
mod help;
mod ingest;
mod mutations;
mod openapi;
mod postgres;
mod reading;
mod reconciling;
mod remote;
mod replicas;
mod retention;
mod searching;
mod support;
mod tailing;
mod upgrade;
