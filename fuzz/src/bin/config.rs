//! The plugin configuration, and the gateway made of one that passes.
#![no_main]

use chaperone_filter::config::FilterConfig;
use chaperone_filter::exchange::Gateway;
use chaperone_fuzz::{now, timed};
use libfuzzer_sys::fuzz_target;

/// What the environment holds. libFuzzer learns it from comparisons, so the input itself may have it too.
const SECRET: &str = "t0ken-of-the-environment";

fn environment(name: &str) -> Option<String> {
    match name {
        "TOKEN" => Some(SECRET.to_owned()),
        "KEY" => Some("MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g".to_owned()),
        _ => None,
    }
}

fuzz_target!(|data: &[u8]| timed(data, |data| {
    match FilterConfig::parse(data, &environment) {
        Ok(config) => {
            let given = data.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
            assert!(given || !format!("{config:?}").contains(SECRET));
            let _ = Gateway::new(config, now(), [7; 16], "node".to_owned(), "1".to_owned());
        }
        Err(problems) => assert!(!problems.is_empty() && problems.len() <= 100),
    }
}));
