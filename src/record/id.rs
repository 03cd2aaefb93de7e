//! Identifiers, made from the time and random bytes that the host gives.

use crate::config::hex;
use chaperone_record::Timestamp;
use std::fmt;

/// An exchange's id: UUIDv7 (RFC 9562 section 5.7), so that ids sort by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId([u8; 16]);

impl ExchangeId {
    /// From the time in milliseconds and 10 random bytes.
    pub fn new(now: Timestamp, random: [u8; 10]) -> Self {
        let [_, _, a, b, c, d, e, f] = (now.micros() / 1000).to_be_bytes();
        let [r0, r1, r2, r3, r4, r5, r6, r7, r8, r9] = random;
        Self([a, b, c, d, e, f, (r0 & 0x0f) | 0x70, r1, (r2 & 0x3f) | 0x80, r3, r4, r5, r6, r7, r8, r9])
    }
}

/// A random UUID (version 4), for a recorder.
pub fn uuid_v4(mut random: [u8; 16]) -> String {
    let [.., v, _, w, _, _, _, _, _, _, _] = &mut random;
    *v = (*v & 0x0f) | 0x40;
    *w = (*w & 0x3f) | 0x80;
    ExchangeId(random).to_string()
}

impl fmt::Display for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.chunks(2).enumerate() {
            if matches!(index, 2..=5) {
                f.write_str("-")?;
            }
            f.write_str(&hex(byte))?;
        }
        Ok(())
    }
}

impl fmt::Debug for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    #[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    use super::*;

    #[test]
    fn ids_have_the_form_of_rfc_9562() {
        let id = ExchangeId::new(Timestamp::from_micros(0x017f_22e2_79b0 * 1000), [0xff; 10]);
        assert_eq!(id.to_string(), "017f22e2-79b0-7fff-bfff-ffffffffffff");
        assert_eq!(uuid_v4([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(uuid_v4([0; 16]), "00000000-0000-4000-8000-000000000000");
    }
}
