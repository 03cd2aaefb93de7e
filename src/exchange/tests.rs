//! The machine as a whole: events in, effects and entries out.

mod confirmed;
mod credentials;
mod masking;
mod recorded;
mod refused;
mod responses;
mod rig;
