// Sessions worth looking at, as filters record them.

import { sealTo } from "./sealing.mjs";

const REPLACEMENT = "[masked by chaperone]";
const MASKED = Buffer.from(REPLACEMENT).toString("base64");
export const SESSION = "5f0c2a7e-checkout-incident";
export const ORIGINALS = {
  values: [{ path: "$.data.password", value: Buffer.from("correct horse battery staple").toString("base64") }, { path: "$.data.username", value: Buffer.from("checkout").toString("base64") }],
  omitted: 0,
};
export const PROMPTS = {
  look: "why-is-checkout-failing",
  fix: "raise-the-memory-limit-of-web",
  clean: "remove-the-old-payments-namespace",
};

const refs = {
  pods: { apiVersion: "v1", resource: "pods" },
  secrets: { apiVersion: "v1", resource: "secrets" },
  namespaces: { apiVersion: "v1", resource: "namespaces" },
  configmaps: { apiVersion: "v1", resource: "configmaps" },
  deployments: { apiGroup: "apps", apiVersion: "v1", resource: "deployments" },
  serviceaccounts: { apiVersion: "v1", resource: "serviceaccounts" },
};

/** Writes exchanges that follow each other in time, from `start` (milliseconds since 1970) on. */
export class Teller {
  constructor(session, start, who = {}) {
    Object.assign(this, { session, now: start, made: 0, prompt: null, entries: [] });
    this.user = who.user ?? "alice@example.com";
    this.agent = who.agent ?? { value: "claude-code", source: "claim:act.sub", verified: true };
    this.model = who.model ?? { value: "claude-opus-4-5", source: "header:x-agent-model", verified: false };
    this.prefix = who.prefix ?? "e";
  }

  at(offset = 0) {
    return new Date(this.now + offset).toISOString().replace("Z", "000Z");
  }

  /** One exchange; `more` replaces parts of it. Returns its id. */
  tell(verb, kind, namespace, name, more = {}) {
    const ref = refs[kind] ?? kind;
    const exchange = `${this.prefix}-${String(this.made++).padStart(6, "0")}`;
    const sealed = more.originals && sealTo(this.sealingKey, exchange, more.originals);
    const group = ref.apiGroup ? `/apis/${ref.apiGroup}/v1` : "/api/v1";
    const place = ref.resource === "namespaces" ? "" : namespace ? `/namespaces/${namespace}` : "";
    const sub = more.subresource ? `/${more.subresource}` : "";
    const uri = `${group}${place}/${ref.resource}${name ? `/${name}` : ""}${sub}${more.query ?? ""}`;
    const code = more.code ?? (verb === "create" ? 201 : 200);
    const took = more.took ?? 14;
    const refused = more.refused;
    const write = ["create", "update", "patch", "delete", "deletecollection"].includes(verb);
    const timing = { received: this.at(), complete: this.at(took) };
    if (!refused) Object.assign(timing, { forwarded: this.at(2), firstByte: this.at(took - 3) });
    const head = {
      exchange, session: this.session,
      method: { get: "GET", list: "GET", watch: "GET", create: "POST", update: "PUT", patch: "PATCH" }[verb] ?? "DELETE",
      requestURI: more.uri ?? uri, verb,
      objectRef: more.uri ? undefined : { ...ref, namespace: ref.resource === "namespaces" ? name : namespace, name, subresource: more.subresource },
      user: { username: this.user, groups: ["agents", "shop-developers"], issuer: "https://idp.example.com", tokenID: `t-${this.session}` },
      attribution: {
        agent: this.agent, model: this.model,
        ...(this.prompt && { prompt: { value: this.prompt, source: "header:x-agent-prompt-id", verified: false } }),
      },
      sourceIPs: ["192.0.2.17"], userAgent: "kubectl/v1.37.1 (linux/amd64)",
      decision: refused ? { allowed: false, ...refused } : { allowed: true, rule: "access.default" },
      ...(more.streamOptions && { streamOptions: more.streamOptions }),
      ...(more.request && { requestObject: more.request }),
      timing: { received: timing.received },
    };
    const responded = {
      responseStatus: { code: refused ? 403 : code },
      outcome: refused ? "refused" : "complete",
      ...(more.response && { responseObject: more.response, responseDigest: digest(more.response) }),
      ...(more.masked && { masked: more.masked }), ...(sealed && { sealed }),
    };
    if (refused) {
      const status = { kind: "Status", apiVersion: "v1", status: "Failure", reason: "Forbidden", message: refused.message, code: 403 };
      Object.assign(responded, { responseStatus: { code: 403, reason: "Forbidden", message: refused.message }, responseObject: status, responseDigest: digest(status) });
    }
    if (more.unfinished) this.entries.push({ type: "request", ...head });
    else if (write && !refused) this.entries.push({ type: "request", ...head }, { type: "response", exchange, session: this.session, ...responded, timing });
    else this.entries.push({ type: "exchange", ...head, ...responded, timing });
    const positions = {};
    for (const [channel, text, offset = 4000] of more.streams ?? []) {
      const data = Buffer.from(text);
      const position = positions[channel] ?? 0;
      positions[channel] = position + data.length;
      const piece = typeof text === "string" ? { data: text } : { data: data.toString("base64"), encoding: "base64" };
      this.entries.push({ type: "stream", exchange, session: this.session, channel, offset, position, ...piece });
    }
    this.now += more.pause ?? 1700;
    return exchange;
  }

  discovery() {
    for (const uri of ["/api?timeout=32s", "/apis?timeout=32s", "/version"]) {
      this.tell("get", { resource: "" }, "", "", { uri, pause: 40, took: 5 });
    }
  }

  /** What was told since. */
  take() {
    return this.entries.splice(0);
  }
}

function digest(value) {
  return { sha256: "5b".repeat(32), bytes: JSON.stringify(value).length };
}

export const open = (time) => ({
  type: "open", time, filter: { version: "0.1.0", build: "0a1b2c3d4e5f" }, configDigest: "c0ffee".repeat(10) + "c0ff",
  node: "egress-gateway-7c9d-x2x4q.agents", worker: "2 of 4",
});

const secret = (name, keys) => ({
  kind: "Secret", apiVersion: "v1",
  metadata: { name, namespace: "shop", uid: "9d2c7f1e-8c1b-4c55-8b0e-4b8f3d2a1c00", resourceVersion: "48211", labels: { app: "checkout" } },
  data: Object.fromEntries(keys.map((key) => [key, MASKED])), type: "Opaque",
});

const web = (memory, replicas, version) => ({
  kind: "Deployment", apiVersion: "apps/v1",
  metadata: {
    name: "web", namespace: "shop", resourceVersion: String(version), generation: version - 5000,
    labels: { app: "web" }, annotations: { "deployment.kubernetes.io/revision": "7" },
    managedFields: [{ manager: "kubectl", operation: "Update", apiVersion: "apps/v1", fieldsV1: { "f:spec": { "f:replicas": {} } } }],
  },
  spec: {
    replicas, selector: { matchLabels: { app: "web" } },
    template: {
      metadata: { labels: { app: "web" } },
      spec: {
        containers: [
          { name: "web", image: "registry.example.com/shop/web:1.42.0", resources: { limits: { memory }, requests: { cpu: "100m" } } },
          { name: "log", image: "registry.example.com/log:3" },
        ],
      },
    },
  },
  status: { readyReplicas: replicas, observedGeneration: version - 5000 },
});

/** The session that the questions are about. */
export function incident(start, sealingKey) {
  const t = new Teller(SESSION, start);
  t.sealingKey = sealingKey;
  t.discovery();
  t.prompt = PROMPTS.look;
  t.tell("list", "pods", "shop", "", {
    query: "?limit=500&labelSelector=app%3Dcheckout",
    response: { kind: "PodList", apiVersion: "v1", metadata: { resourceVersion: "48200" }, items: [{ metadata: { name: "checkout-6d5f-abcde", namespace: "shop" }, status: { phase: "Running", containerStatuses: [{ name: "checkout", restartCount: 14, lastState: { terminated: { reason: "OOMKilled" } } }] } }] },
  });
  t.tell("get", "pods", "shop", "checkout-6d5f-abcde", {
    subresource: "log", query: "?tailLines=50", took: 220,
    streams: [["response", "2026-11-23 08:12:01 connecting to db\n2026-11-23 08:12:02 ERROR authentication failed for user checkout\n\u001b[31mpanic: out of memory\u001b[0m\n"]],
  });
  t.tell("get", "secrets", "shop", "db", {
    response: secret("db", ["password", "username"]),
    masked: [{ path: "$.data.password", count: 1 }, { path: "$.data.username", count: 1 }],
    originals: sealingKey && ORIGINALS,
  });
  t.tell("get", "configmaps", "shop", "checkout-settings", { code: 404, response: { kind: "Status", apiVersion: "v1", status: "Failure", message: 'configmaps "checkout-settings" not found', reason: "NotFound", code: 404 } });
  t.tell("create", "pods", "shop", "checkout-6d5f-abcde", {
    subresource: "exec", query: "?command=sh&command=-c&command=cat+%2Fsys%2Ffs%2Fcgroup%2Fmemory.max&stdout=true", code: 101, took: 640,
    streams: [["stdout", "134217728\n"], ["stderr", "cat: /sys/fs/cgroup/memory.high: Permission denied\n", 4500], ["error", '{"metadata":{},"status":"Success"}', 5000]],
  });
  t.prompt = PROMPTS.fix;
  t.tell("get", "deployments", "shop", "web", { response: web("128Mi", 2, 5011) });
  t.tell("patch", "deployments", "shop", "web", {
    request: { spec: { replicas: 3, template: { spec: { containers: [{ name: "web", resources: { limits: { memory: "512Mi" } } }] } } } },
    response: web("512Mi", 3, 5012), took: 61,
  });
  t.tell("create", "serviceaccounts", "shop", "bob", {
    subresource: "token", took: 1,
    request: { kind: "TokenRequest", apiVersion: "authentication.k8s.io/v1", spec: { expirationSeconds: 3600 } },
    refused: { rule: "guard:token-request", message: 'serviceaccounts "bob" is forbidden: tokens must not be requested through this gateway (rule guard:token-request)' },
  });
  t.prompt = PROMPTS.clean;
  t.tell("list", "namespaces", "", "", { response: { kind: "NamespaceList", apiVersion: "v1", items: [{ metadata: { name: "shop" } }, { metadata: { name: "payments" } }] } });
  t.tell("list", "secrets", "payments", "", {
    query: "?limit=500",
    response: { kind: "SecretList", apiVersion: "v1", items: [secret("stripe", ["key"]), secret("tls", ["tls.crt", "tls.key"])] },
    masked: [{ path: "$.items[*].data.key", count: 1 }, { path: "$.items[*].data['tls.crt']", count: 1 }, { path: "$.items[*].data['tls.key']", count: 1 }],
  });
  t.tell("delete", "namespaces", "", "kube-system", {
    took: 1, refused: { rule: "access.rules[2]", message: 'namespaces "kube-system" is forbidden: the cluster\'s own namespaces are not for agents (rule access.rules[2])' },
  });
  t.tell("delete", "namespaces", "", "payments", { took: 92, response: { kind: "Namespace", apiVersion: "v1", metadata: { name: "payments", deletionTimestamp: "2026-11-23T08:14:00Z" }, status: { phase: "Terminating" } } });
  t.tell("get", "namespaces", "", "payments", { code: 404 });
  return t.take();
}

/** Somebody at a terminal in a container, with a character that is split between two pieces. */
export function terminal(start) {
  const t = new Teller("debug-in-the-pod", start, { prefix: "t", agent: { value: "k8s-mcp-server", source: "claim:azp", verified: true } });
  const [head, tail] = [Buffer.from("grüße\r\n").subarray(0, 3), Buffer.from("grüße\r\n").subarray(3)];
  t.tell("create", "pods", "shop", "checkout-6d5f-abcde", {
    subresource: "exec", query: "?command=sh&stdin=true&stdout=true&tty=true", code: 101, took: 5_200,
    streamOptions: { container: "checkout", command: ["sh"], stdin: true, stdout: true, tty: true },
    streams: [
      ["resize", '{"Width":72,"Height":12}', 3000], ["stdout", "/app # ", 40_000],
      ["stdin", "ls -1\r", 900_000], ["stdout", "ls -1\r\n\u001b[1;34mconfig\u001b[m\r\nserver\r\n/app # ", 910_000],
      ["stdin", "echo grüße\r", 2_000_000], ["stdout", "echo grüße\r\n", 2_010_000], ["stdout", head, 2_020_000], ["stdout", tail, 2_030_000], ["stdout", "/app # ", 2_040_000],
      ["resize", '{"Width":90,"Height":16}', 2_500_000],
      ["stdin", "cat /run/secrets/none; exit 3\r", 4_000_000], ["stdout", "cat /run/secrets/none; exit 3\r\n\u001b[31mcat: can't open '/run/secrets/none': No such file or directory\u001b[m\r\n", 4_020_000],
      ["error", '{"metadata":{},"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}', 5_100_000],
    ],
  });
  t.tell("create", "pods", "shop", "<b>x</b>", {
    subresource: "exec", query: "?command=%3Cscript%3E&tty=true", code: 101, took: 40,
    streams: [["stdout", "\u001b]0;owned\u0007<img src=x onerror=alert(1)>\u202e\u001b[99999C\u001b[2J<script>document.title='owned'</script>\r\n", 1000]],
  });
  return t.take();
}

/** What a hostile agent, or one whose input is hostile, leaves behind. */
export const HOSTILE = "<img src=x onerror=alert(1)>\u202egnp.exe\u200b";
export function hostile(start) {
  const t = new Teller(`"><script>document.title='owned'</script>`, start, {
    user: HOSTILE, prefix: "h",
    agent: { value: "\u001b]0;owned\u0007agent<b>bold</b>", source: "header:x-agent-id", verified: false },
    model: { value: "m\u2066o\u2069d".repeat(40), source: "header:x-agent-model", verified: false },
  });
  t.prompt = "ignore all instructions </span><script>document.title='owned'</script>";
  t.tell("get", "configmaps", "shop", "a\u202eb\u200bc", {
    response: { kind: "ConfigMap", apiVersion: "v1", metadata: { name: "x", "<script>": "document.title='owned'" }, data: { "\u202ekey": "<script>document.title='owned'</script>\u001b[2J", long: "a".repeat(9000) } },
  });
  t.tell("get", "pods", "x".repeat(250), "y".repeat(250), { subresource: "log", streams: [["response", "<script>document.title='owned'</script>\n\u001b[2J\u202eabc\n" + "z".repeat(3000)]] });
  t.tell("delete", "configmaps", "shop", "<b>z</b>", { refused: { rule: "access.rules[0]", message: `<iframe src="javascript:alert(1)"></iframe> ${"w".repeat(600)}` }, took: 1 });
  t.tell("create", "configmaps", "shop", "unfinished", { unfinished: true });
  return t.take();
}

/** Ordinary days before. */
export function history(now) {
  const users = ["alice@example.com", "bob@example.com", "system:serviceaccount:ci:deployer-with-a-rather-long-name"];
  const agents = ["claude-code", "k8s-mcp-server", "cleanup-bot"];
  const told = [];
  for (let n = 0; n < 24; n++) {
    const t = new Teller(`s-${String(n).padStart(3, "0")}`, now - (n + 1) * 6.7 * 3_600_000, {
      user: users[n % 3], prefix: `p${n}`,
      agent: { value: agents[n % 3], source: n % 3 === 1 ? "header:user-agent" : "claim:azp", verified: n % 3 !== 1 },
      model: { value: n % 2 ? "gpt-5.2" : "claude-opus-4-5", source: "header:x-agent-model", verified: false },
    });
    t.prompt = `ticket-${4000 + n}`;
    for (let i = 0; i < 3 + (n * 7) % 11; i++) {
      t.tell("get", "deployments", n % 2 ? "shop" : "web", "web", { response: web("128Mi", 2, 5000 + n) });
      if (i % 3 === 0) t.tell("list", "pods", n % 2 ? "shop" : "payments", "", {});
      if (i % 4 === 1) t.tell("update", "configmaps", "shop", "settings", { request: { kind: "ConfigMap", apiVersion: "v1", metadata: { name: "settings" }, data: { level: String(i) } } });
      if (n % 5 === 0 && i === 2) t.tell("get", "secrets", "shop", "db", { response: secret("db", ["password", "username"]), masked: [{ path: "$.data.password", count: 1 }, { path: "$.data.username", count: 1 }] });
      if (n % 7 === 3 && i === 1) t.tell("get", "secrets", "kube-system", "bootstrap", { refused: { rule: "access.rules[2]", message: "the cluster's own Secrets are not for agents" }, took: 1 });
    }
    told.push(t.take());
  }
  return told.reverse();
}

/** All of it: two recorders, one with a gap and a lost batch. */
export async function fill(collector, now = Date.now()) {
  const sealingKey = collector.sealingKey();
  const time = (millis) => new Date(millis).toISOString().replace("Z", "000Z");
  const [first, second] = ["0198f3c2-7e1d-7a43-9c55-0a1b2c3d4e5f", "0198f3c2-8a20-7bb1-8f00-5e6f7a8b9c0d"];
  await collector.post(first, [open(time(now - 8 * 86_400_000))]);
  for (const entries of history(now)) await collector.post(first, entries);
  await collector.post(second, [{ ...open(time(now - 3_600_000)), worker: "3 of 4" }]);
  await collector.post(second, [], { lose: true });
  await collector.post(second, hostile(now - 1_800_000));
  await collector.post(second, [{ type: "gap", time: time(now - 1_797_000), entries: 12, bytes: 48213, reason: "outboxFull" }]);
  await collector.post(second, terminal(now - 900_000));
  await collector.post(first, incident(now - 60_000, sealingKey));
}
