/**
 * The agent's process is part of a template, and with it what its Node draws by chance from: OpenSSL's generator and
 * V8's seed are seeded when Node starts, and nothing seeds them anew. Machines of one template would draw the same, so
 * the agent draws nothing: tokens and keys come from the host, and programs are started with a kernel that begins anew.
 */
import { build } from 'esbuild';
import test from 'ava';
import { COMMON, options } from '../../setup/bundle-file.ts';

/** ways to draw in a process of Node's: node:crypto under its names, Web Crypto, V8's own */
const DRAWING = /\b(?:node:)?crypto\b|\bMath\.random\b|\bgetRandomValues\b|\brandom(?:UUID|Bytes|Fill|Int)\b/i;

for (const [what, source] of [
  ['a module', "require('node:crypto')"],
  ['its name without a scheme', 'import("crypto")'],
  ['Web Crypto', 'globalThis.crypto.subtle'],
  ['its values', 'x.getRandomValues(y)'],
  ["V8's", 'Math.random()'],
] as const)
  test(`a draw is seen: ${what}`, (t) => t.regex(source, DRAWING));

test("nothing of the agent draws by chance out of its own process' memory", async (t) => {
  const { outputFiles, metafile } = await build({
    ...options('src/guest-agent/main.ts', COMMON),
    outfile: 'agent.cjs',
    write: false,
  });
  const { text } = outputFiles[0]!;
  t.true(text.length > 100_000, `${text.length} bytes`);
  t.deepEqual(
    text.split('\n').flatMap((line) => DRAWING.exec(line)?.[0] ?? []),
    [],
  );
  const modules = Object.values(metafile.outputs).flatMap(({ imports }) => imports.map(({ path }) => path));
  t.deepEqual(
    modules.filter((path) => /^(?:node:)?(?:crypto|tls|https|dgram|dns)/.test(path)),
    [],
  );
});
