// An overflow in a test is a failure of the test.
#![allow(clippy::arithmetic_side_effects)]

mod attribution;
mod claims;
mod flood;
mod form;
mod issuer;
mod keys;
#[cfg(not(target_arch = "wasm32"))]
mod properties;
mod signatures;
