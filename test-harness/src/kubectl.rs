//! kubectl, as an agent runs it.
