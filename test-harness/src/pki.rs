//! Certificates and keys, made on the spot.
