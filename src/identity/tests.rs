mod attribution;
mod claims;
mod flood;
mod form;
mod issuer;
mod keys;
#[cfg(not(target_arch = "wasm32"))]
mod properties;
mod signatures;
