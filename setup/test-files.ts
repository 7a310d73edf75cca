/**
 * test-files SET [K/N]: the names of the test files that a part of CI's run is about, a line each (.ci/run). A file
 * belongs somewhere by what it imports, by any number of others; none is named here, so that a new one is in its sets
 * by itself.
 *
 * - `machines`: those that run in the test host (test/vm-host) where this machine's KVM is not fit.
 * - `others`: all but these.
 * - `user`: those that are run once more as an ordinary user where root runs the tests. Left out of FOLDERS is what no
 *   user can change, by the four rules of `whyOnce`.
 *
 * K/N: of these the share K of N, every Nth file: shares 1/3, 2/3 and 3/3 together are the set.
 *
 * Reads the tests, and starts nothing.
 */
import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
/** where who starts the tests matters: to the kernel, or to husk */
export const FOLDERS = [
  'cli',
  'container',
  'engine',
  'images/layers',
  'launch',
  'network',
  'peer',
  'rootless',
  'setup',
  'supervisor',
  'volumes',
];
/** runs each of its cases as an ordinary user and as root, where root runs the tests */
const BOTH = 'test/rootless/build/steps.ts';
/** what starts the test host, and the whole file again in it */
const HOSTS = ['test/fixtures/test-host.ts', 'test/vmm/kvm-host.ts'];
/** a statement, over as many lines as it has; types are no imports; or a call */
const IMPORT = /^(?:import|export)\b(?!\s+type\b)[^;']*?\bfrom '([^']+)'|^import '([^']+)'|\bimport\(\s*'([^']+)'/gm;

const known = new Map<string, string[]>();

/** @returns what a file imports: paths from the root of the checkout, and names of modules as they stand */
function imports(file: string): string[] {
  let found = known.get(file);
  if (found === undefined) {
    found = [...readFileSync(join(ROOT, file), 'utf8').matchAll(IMPORT)].map(([, from, bare, called]) => {
      const name = (from ?? bare ?? called)!;
      return name.startsWith('.') ? join(dirname(file), name) : name;
    });
    known.set(file, found);
  }
  return found;
}

/** @returns a file and all of husk's that it imports, by any number of others */
function reached(file: string): Set<string> {
  const seen = new Set([file]);
  for (const one of seen)
    for (const name of imports(one)) if (name.endsWith('.ts') && !seen.has(name) && isFile(name)) seen.add(name);
  return seen;
}

const files = new Map<string, boolean>();
function isFile(name: string): boolean {
  if (!files.has(name)) files.set(name, existsSync(join(ROOT, name)));
  return files.get(name)!;
}

/** Does this file start processes or make system calls itself? src/host/ is the only one that makes them. */
const acts = (file: string): boolean =>
  file.startsWith('src/host/') || imports(file).some((name) => /^(?:node:)?child_process$|^execa$/.test(name));
/** Does it read or write files? Whose they are, and who may, is a matter of users. */
const readsFiles = (file: string): boolean => imports(file).some((name) => /^(?:node:)?fs(?:\/promises)?$/.test(name));

export const inTestHost = (file: string): boolean => HOSTS.some((host) => reached(file).has(host));

/** @returns why an ordinary user's run of a test file would be root's over again, if so */
export function whyOnce(file: string): string | undefined {
  if (inTestHost(file)) return 'runs in the test host, as an ordinary user of it, whoever starts that';
  if (imports(file).includes(BOTH)) return 'runs each case as an ordinary user too, where root runs the tests';
  const all = [...reached(file)];
  if (!all.some((one) => acts(one) || readsFiles(one))) return 'starts nothing, and opens no file';
  // fixtures/user.ts runs husk and Podman as an ordinary user when root runs the tests, too
  if (all.some(acts) && all.filter(acts).every((one) => one.startsWith('test/fixtures/')))
    return 'starts only what the fixtures start, as an ordinary user';
  return undefined;
}

export const allTests = (): string[] => globSync('test/**/*.test.ts', { cwd: ROOT }).sort();

const SETS: Record<string, (file: string) => boolean> = {
  machines: inTestHost,
  others: (file) => !inTestHost(file),
  user: (file) => FOLDERS.some((folder) => file.startsWith(`test/${folder}/`)) && whyOnce(file) === undefined,
};

if (process.argv[1] === import.meta.filename) {
  const choose = SETS[process.argv[2] ?? ''];
  if (choose === undefined) throw new Error(`test-files: one of ${Object.keys(SETS).join(', ')}`);
  const share = /^([1-9]\d?)\/([1-9]\d?)$/.exec(process.argv[3] ?? '1/1');
  if (share === null || Number(share[1]) > Number(share[2]))
    throw new Error(`test-files: "${process.argv[3]}" is no share like 1/3`);
  const [part, of] = [Number(share[1]), Number(share[2])];
  for (const [index, file] of allTests().filter(choose).entries()) if (index % of === part - 1) console.log(file);
}
