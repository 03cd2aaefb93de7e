//! Certificates and keys, made on the spot.
//!
//! An [`Authority`] issues [`Leaf`] certificates; both live in memory and are written to disk only by whoever needs a file.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// A certificate authority of its own, trusted by nobody but its test.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pem: String,
}

/// A certificate for a server or a client, and its key, both PEM.
pub struct Leaf {
    /// The certificate.
    pub certificate_pem: String,
    /// Its private key, PKCS #8.
    pub key_pem: String,
}

// === impl Authority ===

impl Authority {
    /// A new authority with this common name.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a P-256 key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a self-signed certificate");
        let pem = issuer.pem();
        Self { issuer, pem }
    }

    /// The authority's certificate, PEM.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for these DNS names and IP addresses; the first is its common name too.
    pub fn issue(&self, names: &[&str]) -> Leaf {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names.clone()).expect("DNS names or IP addresses");
        if let Some(name) = names.first() {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().expect("a P-256 key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a signed certificate");
        Leaf { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() }
    }

    /// A TLS client that trusts this authority only.
    pub fn client_config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a usable authority");
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("TLS versions the provider knows")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }
}

// === impl Leaf ===

impl Leaf {
    /// A TLS server that shows this certificate and speaks HTTP/1.1.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        let chain = CertificateDer::pem_slice_iter(self.certificate_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .expect("the PEM just made");
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).expect("the PEM just made");
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("TLS versions the provider knows")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a certificate and its key");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::ServerName;
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    async fn handshake(client: Arc<ClientConfig>, server: Arc<ServerConfig>, name: &'static str) -> bool {
        let (near, far) = tokio::io::duplex(16 * 1024);
        let name = ServerName::try_from(name).expect("a name");
        let (connected, accepted) = tokio::join!(
            TlsConnector::from(client).connect(name, near),
            TlsAcceptor::from(server).accept(far)
        );
        connected.is_ok() && accepted.is_ok()
    }

    #[tokio::test]
    async fn only_its_own_clients_trust_an_authority_and_only_for_the_names_issued() {
        let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
        let leaf = ours.issue(&["localhost", "127.0.0.1"]);
        for (case, client, name, accepted) in [
            ("a DNS name", &ours, "localhost", true),
            ("an address", &ours, "127.0.0.1", true),
            ("another name", &ours, "example.com", false),
            ("another authority", &theirs, "localhost", false),
        ] {
            let outcome = handshake(client.client_config(), leaf.server_config(), name).await;
            assert_eq!(outcome, accepted, "{case}");
        }
    }
}
