// Where the time goes in the filter: hosts the very module as a proxy would, under V8, and prints for each kind of request
// the microseconds that it takes and the functions and host calls that take them: `make profile`.
//
// Times are those of the module alone: what the proxy does in a host call is not in them, only the call.
import { generateKeyPairSync, randomFillSync, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';

const [file, only] = process.argv.slice(2);
const CHUNK = 16 << 10;
const issuer = 'https://idp.example.com';
const keys = generateKeyPairSync('rsa', { modulusLength: 2048 });
const jwks = { keys: [{ ...keys.publicKey.export({ format: 'jwk' }), kid: 'key', alg: 'RS256', use: 'sig' }] };
const seed = generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' });
const environment = [`SIGNING_KEY=${seed}`, 'UPSTREAM_TOKEN=upstream-token-of-nobody', 'COLLECTOR_TOKEN=collector-token'];

function token(number) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: issuer, aud: ['kubernetes'], sub: 'agent-7', groups: ['agents'], sid: 'benchmark', model: 'model-1', jti: `token-${number}`, iat: now, exp: now + 3600 };
  const text = `${part({ alg: 'RS256', kid: 'key' })}.${part(claims)}`;
  return `${text}.${sign('sha256', text, keys.privateKey).toString('base64url')}`;
}

function configuration(level) {
  return JSON.stringify({
    apiVersion: 'chaperone.dev/v1alpha1', kind: 'FilterConfig',
    authentication: { jwt: [{ issuer: { url: issuer, audiences: ['kubernetes'], jwks } }] },
    credential: { bearerToken: { env: 'UPSTREAM_TOKEN' } },
    recording: {
      collector: { cluster: 'collector', token: { env: 'COLLECTOR_TOKEN' } }, signingKey: { env: 'SIGNING_KEY' },
      rules: [{ level, delivery: 'Buffered' }], limits: { outboxBytes: 256 << 20 },
    },
  });
}

const container = {
  name: 'app', image: 'registry.example.com/team/app:1.27.3', ports: [{ containerPort: 8080, protocol: 'TCP' }],
  env: [{ name: 'LOG_LEVEL', value: 'info' }, { name: 'PASSWORD', valueFrom: { secretKeyRef: { name: 'database', key: 'password' } } }],
  resources: { limits: { cpu: '500m', memory: '128Mi' }, requests: { cpu: '100m', memory: '64Mi' } },
  volumeMounts: [{ name: 'kube-api-access', readOnly: true, mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' }],
};
const metadata = (name) => ({
  name, namespace: 'default', uid: '5f0c8d0e-9d43-4e2c-8c2e-5a9b3a0f6c1d', resourceVersion: '812733',
  creationTimestamp: '2026-01-01T00:00:00Z', labels: { app: 'web', 'pod-template-hash': '6d4cf56db6' },
});
const pod = (name) => ({
  kind: 'Pod', apiVersion: 'v1', metadata: metadata(name), spec: { containers: [container, container, container], nodeName: 'node-1' },
  status: { phase: 'Running', podIP: '10.244.1.17', conditions: [{ type: 'Ready', status: 'True' }] },
});
const secret = (name) => ({
  kind: 'Secret', apiVersion: 'v1', type: 'Opaque', metadata: { ...metadata(name), annotations: { note: 'n'.repeat(1500) } },
  data: Object.fromEntries([0, 1, 2, 3].map((key) => [`key-${key}`, 'bm90LWZvci1hZ2VudHMtbm90LWZvci1hZ2VudHM='])),
});
const list = (kind, item) => ({ kind, apiVersion: 'v1', metadata: { resourceVersion: '4711' }, items: Array.from({ length: 540 }, (_, index) => ({ ...item(`item-${index}`), kind: undefined, apiVersion: undefined })) });
const body = (value) => Buffer.from(`${JSON.stringify(value)}\n`);

const namespace = '/api/v1/namespaces/default';
const works = [
  { name: 'GET of a pod', path: `${namespace}/pods/web`, response: body(pod('web')), rounds: 20000 },
  { name: 'GET of a Secret', path: `${namespace}/secrets/db`, response: body(secret('db')), rounds: 20000 },
  { name: 'list of pods', path: `${namespace}/pods`, response: body(list('PodList', pod)), rounds: 60 },
  { name: 'list of Secrets', path: `${namespace}/secrets`, response: body(list('SecretList', secret)), rounds: 60 },
];

/// A proxy with one plugin in one VM.
class Host {
  calls = new Map();
  buffers = new Map();
  maps = new Map();
  posts = [];
  bytes = 0;
  nextContext = 2;
  nextToken = 1;

  constructor(module) {
    const imports = {};
    for (const { module: from, name } of WebAssembly.Module.imports(module)) {
      const call = this[name]?.bind(this) ?? (() => 12); // Unimplemented
      imports[from] ??= {};
      imports[from][name] = (...args) => {
        this.calls.set(name, (this.calls.get(name) ?? 0) + 1);
        return call(...args);
      };
    }
    this.wasm = new WebAssembly.Instance(module, imports).exports;
    this.wasm._initialize();
  }

  start(config) {
    this.buffers.set(7, Buffer.from(config));
    this.wasm.proxy_on_context_create(1, 0);
    this.wasm.proxy_on_vm_start(1, 0);
    if (!this.wasm.proxy_on_configure(1, config.length)) throw new Error('The configuration was refused.');
  }

  exchange(work, bearer) {
    const id = this.nextContext++;
    const { wasm } = this;
    wasm.proxy_on_context_create(id, 1);
    this.maps.set(0, [
      [':method', 'GET'], [':path', work.path], [':authority', 'kubernetes.example.com'], [':scheme', 'https'], ['authorization', `Bearer ${bearer}`],
      ['user-agent', 'kubectl/v1.37.1 (linux/amd64) kubernetes/abcdef0'], ['accept', 'application/json'], ['x-forwarded-proto', 'https'],
    ]);
    if (wasm.proxy_on_request_headers(id, 8, 1) !== 0) throw new Error('The request was refused.');
    this.maps.set(2, [
      [':status', '200'], ['content-type', 'application/json'], ['content-length', `${work.response.length}`], ['date', 'Tue, 01 Dec 2026 00:00:00 GMT'],
      ['audit-id', '5f0c8d0e-9d43-4e2c-8c2e-5a9b3a0f6c1d'], ['cache-control', 'no-cache, private'],
    ]);
    wasm.proxy_on_response_headers(id, 6, 0);
    for (let at = 0; at < work.response.length; at += CHUNK) {
      const chunk = work.response.subarray(at, at + CHUNK);
      this.buffers.set(1, chunk);
      wasm.proxy_on_response_body(id, chunk.length, at + CHUNK >= work.response.length ? 1 : 0);
    }
    wasm.proxy_on_done(id);
    wasm.proxy_on_log(id);
    wasm.proxy_on_delete(id);
  }

  /// What is due is posted, and acknowledged.
  tick() {
    this.wasm.proxy_on_tick(1);
    while (this.posts.length > 0) {
      const { token, body } = this.posts.shift();
      this.bytes += body.length;
      const [, recorder, batch] = /"recorder":"([^"]+)","batch":(\d+)/.exec(body.subarray(0, 200).toString());
      const answer = Buffer.from(JSON.stringify({ recorder, batch: Number(batch) }));
      this.maps.set(6, [[':status', '200']]);
      this.buffers.set(4, answer);
      this.wasm.proxy_on_http_call_response(1, token, 1, answer.length, 0);
    }
  }

  memory() { return Buffer.from(this.wasm.memory.buffer); }
  text(at, size) { return this.memory().toString('latin1', at, at + size); }
  put32(at, value) { new DataView(this.wasm.memory.buffer).setUint32(at, value, true); }
  give(bytes, at, size) {
    if (bytes.length === 0) { this.put32(at, 0); this.put32(size, 0); return 0; }
    const place = this.wasm.proxy_on_memory_allocate(bytes.length);
    this.memory().set(bytes, place);
    this.put32(at, place);
    this.put32(size, bytes.length);
    return 0;
  }

  proxy_get_buffer_bytes(kind, start, most, at, size) {
    return this.give(this.buffers.get(kind).subarray(start, start + most), at, size);
  }
  proxy_set_buffer_bytes() { return 0; }
  proxy_get_header_map_pairs(kind, at, size) {
    const pairs = this.maps.get(kind).map((pair) => pair.map((text) => Buffer.from(text)));
    const head = Buffer.alloc(4 + 8 * pairs.length);
    head.writeUInt32LE(pairs.length, 0);
    pairs.forEach(([name, value], index) => {
      head.writeUInt32LE(name.length, 4 + 8 * index);
      head.writeUInt32LE(value.length, 8 + 8 * index);
    });
    const zero = Buffer.alloc(1);
    return this.give(Buffer.concat([head, ...pairs.flatMap(([name, value]) => [name, zero, value, zero])]), at, size);
  }
  proxy_set_header_map_pairs() { return 0; }
  proxy_get_header_map_value(kind, name, length, at, size) {
    const pair = this.maps.get(kind)?.find(([key]) => key === this.text(name, length));
    return pair ? this.give(Buffer.from(pair[1]), at, size) : 1;
  }
  proxy_get_property(path, length, at, size) {
    const known = { 'source\0address': '192.0.2.1:4711', 'response\0code_details': 'via_upstream', 'xds\0node\0id': 'profile' };
    const value = known[this.text(path, length)];
    return value ? this.give(Buffer.from(value), at, size) : 1;
  }
  proxy_get_current_time_nanoseconds(at) {
    new DataView(this.wasm.memory.buffer).setBigUint64(at, BigInt(Date.now()) * 1000000n, true);
    return 0;
  }
  proxy_define_metric(kind, name, length, at) { this.put32(at, length); return 0; }
  proxy_increment_metric() { return 0; }
  proxy_record_metric() { return 0; }
  proxy_set_tick_period_milliseconds() { return 0; }
  proxy_set_effective_context() { return 0; }
  proxy_log(level, at, size) { if (level > 2) console.error(this.text(at, size)); return 0; }
  proxy_call_foreign_function(name, length, input, size, at, back) { return this.give(Buffer.from([8, 1]), at, back); }
  proxy_http_call(cluster, a, headers, b, body, size, trailers, c, timeout, at) {
    const token = this.nextToken++;
    this.posts.push({ token, body: Buffer.from(this.memory().subarray(body, body + size)) });
    this.put32(at, token);
    return 0;
  }
  random_get(at, size) { randomFillSync(new Uint8Array(this.wasm.memory.buffer, at, size)); return 0; }
  environ_sizes_get(count, size) {
    this.put32(count, environment.length);
    this.put32(size, environment.reduce((sum, entry) => sum + Buffer.byteLength(entry) + 1, 0));
    return 0;
  }
  environ_get(places, at) {
    for (const [index, entry] of environment.entries()) {
      this.put32(places + 4 * index, at);
      const bytes = Buffer.from(`${entry}\0`);
      this.memory().set(bytes, at);
      at += bytes.length;
    }
    return 0;
  }
  clock_time_get(id, precision, at) { return this.proxy_get_current_time_nanoseconds(at); }
  fd_write() { return 0; }
  proc_exit(code) { throw new Error(`The VM has ended: ${code}.`); }
}

/// The path in a mangled name (Rust's v0, and the one before), shortened.
function name(symbol) {
  const parts = [];
  for (let at = 0; at < symbol.length && parts.length < 12; at += 1) {
    const [digits] = /^[1-9]\d*/.exec(symbol.slice(at)) ?? [];
    const start = digits && at + digits.length + (symbol[at + digits.length] === '_' ? 1 : 0);
    const part = digits && symbol.slice(start, start + Number(digits));
    if (part?.length === Number(digits) && /^[A-Za-z_$.]/.test(part) && Number(digits) > 1) {
      parts.push(part);
      at = start + Number(digits) - 1;
    }
  }
  const path = parts.filter((part) => !/^h[0-9a-f]{16}$/.test(part)).join('::');
  return /^_(R|ZN)/.test(symbol) && path ? path.replaceAll('$LT$', '<').replaceAll('$GT$', '>').replaceAll('$u20$', ' ').slice(0, 110) : symbol;
}

const module = new WebAssembly.Module(readFileSync(file));
const session = new Session();
session.connect();
await session.post('Profiler.enable');
await session.post('Profiler.setSamplingInterval', { interval: 100 });
for (const level of ['Metadata', 'RequestResponse']) {
  for (const work of works.filter(({ name }) => !only || name === only)) {
    const host = new Host(module);
    host.start(configuration(level));
    const bearer = token(1);
    const run = (rounds) => {
      const every = Math.max(1, Math.round((32 << 10) / work.response.length) * 4);
      for (let round = 0; round < rounds; round++) {
        host.exchange(work, bearer);
        if (round % every === 0) host.tick();
      }
    };
    run(Math.ceil(work.rounds / 2)); // until V8 has compiled it for good
    host.calls.clear();
    host.bytes = 0;
    let best = Infinity;
    for (let round = 0; round < 5; round++) {
      const started = process.hrtime.bigint();
      run(work.rounds / 5);
      best = Math.min(best, Number(process.hrtime.bigint() - started) / 1000 / (work.rounds / 5));
    }
    const calls = [...host.calls].map(([call, count]) => `${call.replace('proxy_', '')} ${(count / work.rounds).toFixed(1)}`);
    await session.post('Profiler.start');
    run(work.rounds / 5);
    const { profile } = await session.post('Profiler.stop');
    const times = new Map(profile.nodes.map((node) => [node.id, 0]));
    profile.samples.forEach((id, index) => times.set(id, times.get(id) + profile.timeDeltas[index]));
    const functions = new Map();
    let all = 0;
    for (const node of profile.nodes) {
      const { functionName, url } = node.callFrame;
      const key = url.startsWith('wasm:') ? name(functionName) : '(the host)';
      functions.set(key, (functions.get(key) ?? 0) + times.get(node.id));
      all += times.get(node.id);
    }
    console.log(`\n${work.name} (${work.response.length} bytes), ${level}: ${best.toFixed(1)} us; posted ${(host.bytes / work.rounds).toFixed(0)} bytes`);
    console.log(`  calls: ${calls.join(', ')}`);
    for (const [key, time] of [...functions].sort((a, b) => b[1] - a[1]).slice(0, 15)) {
      console.log(`  ${((100 * time) / all).toFixed(1).padStart(5)} %  ${key}`);
    }
  }
}
