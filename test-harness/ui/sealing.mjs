// What a filter seals to an auditor (docs/masking.md), made with Node's own cryptography: HPKE in base mode.

import { createCipheriv, createHmac, createPublicKey, diffieHellman, generateKeyPairSync } from "node:crypto";

const INFO = "chaperone.dev/v1alpha1 sealed originals";
const KEM = Buffer.concat([Buffer.from("KEM"), Buffer.of(0, 0x20)]);
const SUITE = Buffer.concat([Buffer.from("HPKE"), Buffer.of(0, 0x20, 0, 1, 0, 3)]);

const hmac = (key, ...parts) => createHmac("sha256", key).update(Buffer.concat(parts.map((part) => Buffer.from(part)))).digest();
const extract = (suite, salt, label, secret) => hmac(salt, "HPKE-v1", suite, label, secret);
const expand = (suite, secret, label, context, length) =>
  hmac(secret, Buffer.of(0, length), "HPKE-v1", suite, label, context, Buffer.of(1)).subarray(0, length);
const raw = (key) => Buffer.from(key.export({ format: "jwk" }).x, "base64url");

/** An entry's `sealed`. */
export function sealTo(recipient, exchange, originals) {
  const bytes = Buffer.from(recipient, "base64");
  const other = createPublicKey({ format: "jwk", key: { kty: "OKP", crv: "X25519", x: bytes.toString("base64url") } });
  const { publicKey, privateKey } = generateKeyPairSync("x25519");
  const enc = raw(publicKey);
  const point = diffieHellman({ privateKey, publicKey: other });
  const shared = expand(KEM, extract(KEM, "", "eae_prk", point), "shared_secret", Buffer.concat([enc, bytes]), 32);
  const context = Buffer.concat([Buffer.of(0), extract(SUITE, "", "psk_id_hash", ""), extract(SUITE, "", "info_hash", INFO)]);
  const secret = extract(SUITE, shared, "secret", "");
  const cipher = createCipheriv("chacha20-poly1305", expand(SUITE, secret, "key", context, 32), expand(SUITE, secret, "base_nonce", context, 12), { authTagLength: 16 });
  const plain = Buffer.from(JSON.stringify(originals));
  cipher.setAAD(Buffer.from(exchange), { plaintextLength: plain.length });
  return Buffer.concat([enc, cipher.update(plain), cipher.final(), cipher.getAuthTag()]).toString("base64");
}
