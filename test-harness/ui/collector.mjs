// A real `chaperone serve` on a free port with a database of its own, filled with signed records; gone when it is closed.

import { spawn, spawnSync } from "node:child_process";
import { createHash, createPrivateKey, sign } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const program = process.env.CHAPERONE ?? fileURLToPath(new URL("../../target/debug/chaperone", import.meta.url));
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

export class Collector {
  static async start() {
    const collector = new Collector();
    collector.folder = mkdtempSync(join(tmpdir(), "chaperone-ui-"));
    const env = {
      CHAPERONE_DATABASE: join(collector.folder, "records.db"),
      CHAPERONE_COLLECTOR_TOKEN: "ingest-token-0123456789",
    };
    collector.env = env;
    const printed = collector.run(["keygen", "--out", "keys"]);
    collector.kid = printed.match(/kid\s+(\S+)/)[1];
    collector.key = createPrivateKey(readFileSync(join(collector.folder, "keys/signing-key.pem")));
    const arguments_ = ["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--public-key", "keys/public-keys.json"];
    collector.child = spawn(program, arguments_, { cwd: collector.folder, env, stdio: ["ignore", "ignore", "pipe"] });
    const listening = Promise.withResolvers?.() ?? deferred();
    collector.log = [];
    createInterface(collector.child.stderr).on("line", (line) => {
      collector.log.push(line);
      if (line.includes('"Listening."')) listening.resolve(`http://${JSON.parse(line).address}`);
    });
    collector.child.on("exit", () => listening.reject(new Error(collector.log.join("\n"))));
    collector.base = await listening.promise;
    collector.chains = new Map();
    return collector;
  }

  run(arguments_) {
    const done = spawnSync(program, arguments_, { cwd: this.folder, env: this.env, encoding: "utf8" });
    if (done.status !== 0) throw new Error(`${arguments_}: ${done.stderr}`);
    return done.stdout;
  }

  /** The public half of the auditor's key, whose private half is now in `auditor/unsealing-key.pem`. */
  sealingKey() {
    return this.run(["keygen", "--sealing", "--out", "auditor"]).match(/public key\s+(\S+)/)[1];
  }

  /** The path of a file of the collector's. */
  file(name) {
    return join(this.folder, name);
  }

  /** A new token's text. */
  token(role, name) {
    return this.run(["token", "create", "--role", role, "--name", name]).trim();
  }

  /** Posts a batch that follows the recorder's last one; with `lose`, as if it were lost on the way. */
  async post(recorder, entries, { lose = false } = {}) {
    const chain = this.chains.get(recorder) ?? { batch: 0, previous: "0".repeat(64) };
    const body = Buffer.from(JSON.stringify({ recorder, batch: chain.batch, previous: chain.previous, entries }));
    this.chains.set(recorder, { batch: chain.batch + 1, previous: sha256(body) });
    if (lose) return;
    const header = Buffer.from(JSON.stringify({ alg: "EdDSA", kid: this.kid })).toString("base64url");
    const signature = sign(null, Buffer.from(`${header}.${body.toString("base64url")}`), this.key).toString("base64url");
    const answer = await fetch(`${this.base}/v1/records`, {
      method: "POST",
      body,
      headers: { authorization: `Bearer ${this.env.CHAPERONE_COLLECTOR_TOKEN}`, "chaperone-signature": `${header}..${signature}` },
    });
    if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
  }

  async close() {
    if (this.child.exitCode === null) {
      this.child.kill();
      await once(this.child, "exit");
    }
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function deferred() {
  const it = {};
  it.promise = new Promise((resolve, reject) => Object.assign(it, { resolve, reject }));
  return it;
}
