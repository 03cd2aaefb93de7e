//! What the end-to-end tests and the demo stand on: every part of a deployment, on free loopback ports, gone when dropped.
//!
//! | module | what it is |
//! |---|---|
//! | [`pki`] | certificates and keys, made on the spot |
//! | [`issuer`] | an OIDC issuer: discovery, JWKS, rotation, minting |
//! | [`standin`] | a stand-in API server that speaks enough of Kubernetes for kubectl |
//! | [`process`] | child processes that end with their parent, and their logs |
//! | [`clock`] | another program's time of day, set from here |
//! | [`client`] | a small HTTP client that says what it got, whatever that is |
//! | [`raw`] | requests as bytes, where a client library would not send them |
//! | [`proxy`], [`wire`] | what fails between Envoy and the collector, and between Envoy and the API server |
//! | [`envoy`] | stock Envoy with the built filter, configured from `filter-config/envoy` |
//! | [`kube`] | a real kube-apiserver with its etcd |
//! | [`collector`] | `chaperone serve`, and its command line |
//! | [`kubectl`] | kubectl, as an agent runs it |
//! | [`stage`] | all of them together |

pub mod client;
pub mod clock;
pub mod collector;
pub mod container;
pub mod envoy;
pub mod issuer;
pub mod kube;
pub mod kubectl;
pub mod kubelet;
pub mod pki;
pub mod process;
pub mod proxy;
pub mod raw;
pub mod stage;
pub mod standin;
pub mod wire;
