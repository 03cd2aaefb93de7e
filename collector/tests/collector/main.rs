//! The collector as its users meet it: the real program, driven over HTTP and the command line.

mod evidence;
mod ingest;
mod reading;
mod support;
