// Opens sealed originals with the auditor's private key, in the page: nothing is sent anywhere, and the key is forgotten
// when the values are shown. It is what `chaperone unseal` does: HPKE (RFC 9180) in base mode, with DHKEM(X25519,
// HKDF-SHA256), HKDF-SHA256 and ChaCha20-Poly1305. Curve and hashes are the browser's; it has no ChaCha20-Poly1305.

const utf8 = new TextEncoder();
const INFO = utf8.encode("chaperone.dev/v1alpha1 sealed originals");
const KEY = 32;
// PKCS#8 (RFC 8410) before an X25519 private key's 32 bytes.
const PKCS8 = Uint8Array.of(0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 4, 0x22, 4, 0x20);
const BASE_POINT = Uint8Array.of(9, ...new Uint8Array(KEY - 1));

/** Why originals cannot be shown, as a sentence for a person. */
export class SealingError extends Error {}

function joined(...parts) {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** The bytes of standard base64; null where it is none. */
function decoded(text) {
  try {
    return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  } catch {
    return null;
  }
}

// === ChaCha20-Poly1305 (RFC 8439) ===

const littleEndian = (bytes) => bytes.reduceRight((number, byte) => (number << 8n) | BigInt(byte), 0n);
const words = (bytes) => Array.from({ length: bytes.length / 4 }, (_, i) => new DataView(bytes.buffer, bytes.byteOffset).getUint32(4 * i, true));

function chacha20(key, nonce, counter) {
  const state = Uint32Array.of(0x61707865, 0x3320646e, 0x79622d32, 0x6b206574, ...words(key), counter, ...words(nonce));
  const s = state.slice();
  const add = (a, b, d, by) => {
    s[a] += s[b];
    s[d] ^= s[a];
    s[d] = (s[d] << by) | (s[d] >>> (32 - by));
  };
  const quarter = (a, b, c, d) => {
    add(a, b, d, 16);
    add(c, d, b, 12);
    add(a, b, d, 8);
    add(c, d, b, 7);
  };
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 4; i++) quarter(i, 4 + i, 8 + i, 12 + i);
    for (let i = 0; i < 4; i++) quarter(i, 4 + ((i + 1) & 3), 8 + ((i + 2) & 3), 12 + ((i + 3) & 3));
  }
  const block = new DataView(new ArrayBuffer(64));
  s.forEach((word, i) => block.setUint32(4 * i, (word + state[i]) >>> 0, true));
  return new Uint8Array(block.buffer);
}

function poly1305(key, text) {
  const prime = (1n << 130n) - 5n;
  const r = littleEndian(key.subarray(0, 16)) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
  let sum = 0n;
  for (let at = 0; at < text.length; at += 16) {
    const piece = text.subarray(at, at + 16);
    sum = ((sum + littleEndian(piece) + (1n << BigInt(8 * piece.length))) * r) % prime;
  }
  sum += littleEndian(key.subarray(16));
  return Uint8Array.from({ length: 16 }, (_, i) => Number((sum >> BigInt(8 * i)) & 0xffn));
}

/** The plaintext; null where key, nonce, associated data or a byte is another. */
export function openChaCha20Poly1305(key, nonce, associated, sealed) {
  if (sealed.length < 16) return null;
  const ciphertext = sealed.subarray(0, -16);
  const filling = (bytes) => new Uint8Array((16 - (bytes.length % 16)) % 16);
  const lengths = new DataView(new ArrayBuffer(16));
  lengths.setUint32(0, associated.length, true);
  lengths.setUint32(8, ciphertext.length, true);
  const text = joined(associated, filling(associated), ciphertext, filling(ciphertext), new Uint8Array(lengths.buffer));
  const tag = poly1305(chacha20(key, nonce, 0).subarray(0, 32), text);
  if (tag.some((byte, i) => byte !== sealed[ciphertext.length + i])) return null;
  const plain = ciphertext.slice();
  for (let at = 0; at < plain.length; at += 64) {
    const block = chacha20(key, nonce, 1 + at / 64);
    for (let i = 0; i < 64 && at + i < plain.length; i++) plain[at + i] ^= block[i];
  }
  return plain;
}

// === HPKE (RFC 9180) ===

async function hmac(key, ...parts) {
  // An empty key is one of zeros, and that is one that browsers take.
  const bytes = key.length ? key : new Uint8Array(32);
  const imported = await crypto.subtle.importKey("raw", bytes, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", imported, joined(...parts)));
}

const NONE = new Uint8Array();
const VERSION = utf8.encode("HPKE-v1");
const KEM = joined(utf8.encode("KEM"), Uint8Array.of(0, 0x20));
const HPKE = joined(utf8.encode("HPKE"), Uint8Array.of(0, 0x20, 0, 1, 0, 3));

const extract = (suite, salt, label, secret) => hmac(salt, VERSION, suite, utf8.encode(label), secret);
// One block of HKDF-Expand: nothing here is longer than a hash.
const expand = async (suite, secret, label, context, length) =>
  (await hmac(secret, Uint8Array.of(0, length), VERSION, suite, utf8.encode(label), context, Uint8Array.of(1))).slice(0, length);

async function exchanged(key, point) {
  const other = await crypto.subtle.importKey("raw", point, { name: "X25519" }, false, []);
  return new Uint8Array(await crypto.subtle.deriveBits({ name: "X25519", public: other }, key, 8 * KEY));
}

/** The auditor's key from PEM, or from its bare 32 bytes in base64; it cannot be read out again. */
export async function privateKey(text) {
  const inner = text.split(/\r?\n/).filter((line) => !line.startsWith("-----")).join("").replace(/\s/g, "");
  const bytes = decoded(inner);
  const der = bytes?.length === KEY ? joined(PKCS8, bytes) : bytes;
  try {
    if (!der?.length) throw new RangeError();
    return await crypto.subtle.importKey("pkcs8", der, { name: "X25519" }, false, ["deriveBits"]);
  } catch (error) {
    if (error.name === "NotSupportedError") throw new SealingError("This browser does not know X25519: use the command below.");
    throw new SealingError("This is not an X25519 private key: it begins with “-----BEGIN PRIVATE KEY-----”, as chaperone keygen --sealing writes it.");
  } finally {
    bytes?.fill(0);
    der?.fill(0);
  }
}

/** What was masked: `{values: [{path, value | base64}], omitted}`. */
export async function originals(key, sealed, exchange) {
  const bytes = decoded(sealed);
  if (!bytes || bytes.length < KEY + 16) throw new SealingError("What is sealed here is not of a form this page knows.");
  const encapsulated = bytes.subarray(0, KEY);
  let shared;
  try {
    const point = await exchanged(key, encapsulated);
    const context = joined(encapsulated, await exchanged(key, BASE_POINT));
    shared = await expand(KEM, await extract(KEM, NONE, "eae_prk", point), "shared_secret", context, KEY);
  } catch {
    throw new SealingError("What is sealed here is not of a form this page knows.");
  }
  const context = joined(Uint8Array.of(0), await extract(HPKE, NONE, "psk_id_hash", NONE), await extract(HPKE, NONE, "info_hash", INFO));
  const secret = await extract(HPKE, shared, "secret", NONE);
  const [own, nonce] = [await expand(HPKE, secret, "key", context, 32), await expand(HPKE, secret, "base_nonce", context, 12)];
  const plain = openChaCha20Poly1305(own, nonce, utf8.encode(exchange), bytes.subarray(KEY));
  if (!plain) throw new SealingError("This key does not open it: it was sealed to another one, or changed since.");
  return JSON.parse(new TextDecoder().decode(plain));
}

// === The page ===

const visible = (text) => text.replace(/[\p{Cf}\p{Zl}\p{Zp}]|(?![\n\t])\p{Cc}/gu, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);

function element(name, text, parent) {
  const made = document.createElement(name);
  made.textContent = text;
  parent.append(made);
  return made;
}

/** Text that base64 in a Secret's `data` stands for; null where it is none. */
function meant({ path, value }) {
  const bytes = /(^|\.)data[.[]/.test(path) && value ? decoded(value) : null;
  try {
    return bytes && new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}

function shown({ values, omitted }) {
  const table = document.createElement("table");
  table.className = "originals";
  const head = element("tr", "", element("thead", "", table));
  for (const name of ["Field", "Original"]) element("th", name, head).scope = "col";
  const body = element("tbody", "", table);
  for (const original of values) {
    const row = element("tr", "", body);
    const field = element("th", "", row);
    field.scope = "row";
    element("code", visible(original.path), field);
    const cell = element("td", "", row);
    const text = meant(original);
    element("pre", visible(text ?? original.value ?? `base64: ${original.base64 ?? ""}`), cell);
    if (text !== null) element("span", `in the object as ${visible(original.value)}`, cell).className = "sub";
  }
  if (omitted) element("td", `${omitted} more were not kept: the filter had no room for them.`, element("tr", "", body)).colSpan = 2;
  return table;
}

function prepare(section) {
  const find = (selector) => section.querySelector(selector);
  const [form, key, file, said, result] = ["[data-key-form]", "textarea", "input[type=file]", "[role=status]", "[data-originals]"].map(find);
  form.hidden = false;
  if (!globalThis.crypto?.subtle) {
    form.hidden = true;
    said.textContent = "Browsers open it only on pages that come over HTTPS: use the command below.";
    return;
  }
  const open = async () => {
    const text = key.value;
    key.value = "";
    file.value = "";
    said.className = "";
    said.textContent = "Opening…";
    result.replaceChildren();
    try {
      const own = await privateKey(text);
      for (const sealed of section.querySelectorAll("template[data-sealed]")) {
        result.append(shown(await originals(own, sealed.dataset.sealed, section.dataset.unseal)));
      }
      said.textContent = "Opened here. The key is forgotten; the values are gone when you leave this page.";
    } catch (error) {
      said.className = "no";
      said.textContent = error instanceof SealingError ? error.message : "It could not be opened. The command below says why.";
    }
  };
  file.addEventListener("change", async () => {
    if (!file.files[0]) return;
    key.value = await file.files[0].slice(0, 4096).text();
    open();
  });
  find("button[data-open]").addEventListener("click", open);
  find("button[data-forget]").addEventListener("click", () => {
    result.replaceChildren();
    key.value = "";
    said.className = "";
    said.textContent = "";
  });
}

for (const section of globalThis.document?.querySelectorAll("[data-unseal]") ?? []) prepare(section);
