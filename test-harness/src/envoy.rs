//! Stock Envoy with the built filter.
