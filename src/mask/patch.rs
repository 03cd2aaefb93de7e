//! The guard on JSON Patches of Secrets.
