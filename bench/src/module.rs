//! The filter's module: its size, and what it asks of its host.

use anyhow::{Context as _, Result};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use wasmparser::{Parser, Payload};

/// The function with which the host verifies signatures.
const FOREIGN: &str = "proxy_call_foreign_function";

/// A module.
pub struct Module {
    /// Bytes.
    pub size: usize,
    /// Of which code.
    pub code: usize,
    /// Of which constants.
    pub constants: usize,
    /// What it imports and exports, but the signature check: Envoy lets a plugin be restricted to what is named.
    pub capabilities: Vec<String>,
}

impl Module {
    /// Reads it.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| path.display().to_string())?;
        let (mut code, mut constants, mut names) = (0, 0, BTreeSet::new());
        for payload in Parser::new(0).parse_all(&bytes) {
            match payload? {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        names.insert(import?.name.to_owned());
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        names.insert(export?.name.to_owned());
                    }
                }
                Payload::CodeSectionStart { size, .. } => code = usize::try_from(size)?,
                Payload::DataSection(section) => {
                    constants = usize::try_from(section.range().end - section.range().start)?
                }
                _ => {}
            }
        }
        names.remove(FOREIGN);
        Ok(Self { size: bytes.len(), code, constants, capabilities: names.into_iter().collect() })
    }
}
