// Builds mask_throughput.rs natively and as wasm, runs every case of it, the wasm under V8, and prints a table:
// `node examples/mask_throughput.mjs`.
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { WASI } from 'node:wasi';

const self = fileURLToPath(import.meta.url);
const root = fileURLToPath(new URL('..', import.meta.url));
const target = process.env.CARGO_TARGET_DIR ?? `${root}target`;
const wasm = `${target}/wasm32-wasip1/release/examples/mask_throughput.wasm`;
const native = `${target}/release/examples/mask_throughput`;
const cases = ['secrets', 'pods', 'watch', 'protobuf'];

if (process.argv[2] === '--wasm') {
  await runWasm(process.argv[3]);
} else {
  const build = ['build', '--quiet', '--release', '-p', 'chaperone-filter', '--example', 'mask_throughput'];
  for (const args of [build, [...build, '--target', 'wasm32-wasip1']]) {
    execFileSync('cargo', args, { cwd: root, stdio: 'inherit' });
  }
  console.log('host    case          MB    MB/s  tree MB/s  ratio    memory  tree memory');
  for (const name of cases) {
    // Node sometimes crashes as it exits after WASI; what it printed is whole all the same.
    const run = spawnSync(process.execPath, ['--no-warnings', self, '--wasm', name], { encoding: 'utf8' });
    print('wasm', run.stdout.trim() || (() => { throw new Error(run.stderr); })());
  }
  for (const name of cases) {
    print('native', execFileSync(native, [name], { encoding: 'utf8' }));
  }
}

async function runWasm(name) {
  const module = await WebAssembly.compile(readFileSync(wasm));
  const wasi = new WASI({ version: 'preview1', args: ['mask_throughput', name] });
  const imports = wasi.getImportObject();
  // The library's shell is linked in too; nothing calls a proxy here.
  for (const { module: from, name: what } of WebAssembly.Module.imports(module)) {
    imports[from] ??= {};
    imports[from][what] ??= () => { throw new Error(`${from}.${what} was called`); };
  }
  const { exports } = await WebAssembly.instantiate(module, imports);
  wasi.start({ exports: { memory: exports.memory, _start: exports._start } });
}

function print(host, line) {
  const { case: name, bytes, masked, tree, memory, treeMemory } = JSON.parse(line);
  const kib = (bytes) => (host === 'wasm' ? `${bytes / 1024} KiB` : '-');
  const columns = [
    [host, -7], [name, -9], [(bytes / 1e6).toFixed(2), 6], [masked.toFixed(0), 7], [tree?.toFixed(0) ?? '-', 10],
    [tree ? `${(masked / tree).toFixed(1)}x` : '-', 6], [kib(memory), 9], [kib(treeMemory), 12],
  ];
  console.log(columns.map(([text, width]) => (width < 0 ? text.padEnd(-width) : text.padStart(width))).join(' '));
}
