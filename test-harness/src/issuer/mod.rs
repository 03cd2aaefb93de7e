//! An OIDC issuer: discovery, JWKS, rotation, minting.
