//! The shell: the only room that names `proxy_wasm`.
//!
//! It reads what the host has, hands it to the core as plain values, and carries out what the core answers. Each host
//! call goes through [`host`], whose functions never panic on what the host returns where the SDK lets that be avoided.

mod host;
mod metrics;
mod root;
mod stream;

use proxy_wasm::traits::RootContext;

#[allow(unsafe_code)] // The entry point that the ABI asks for; the macro's expansion, nothing of ours.
mod entry {
    proxy_wasm::main! {{
        proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Info);
        std::panic::set_hook(Box::new(|info| {
            // The place only: a message could carry what must not be logged.
            let place = info.location().map(ToString::to_string).unwrap_or_default();
            super::host::log_error(&format!("Panicked at {place}; this worker's VM ends and must be reloaded."));
        }));
        proxy_wasm::set_root_context(super::new_root);
    }}
}

fn new_root(context: u32) -> Box<dyn RootContext> {
    Box::new(root::Root::new(context))
}
