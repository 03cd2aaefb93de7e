//! A stand-in API server that speaks enough of Kubernetes for kubectl.
