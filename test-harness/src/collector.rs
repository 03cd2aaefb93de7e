//! `chaperone serve`, and its command line.
