/** A POSIX program on a folder, and on the same kind of folder through the file system device and this machine's FUSE client: the answers must be the same. */
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';

const run = promisify(execFile);
const here = import.meta.dirname;
const missing = process.getuid!() !== 0 ? 'needs root, to mount FUSE in a mount namespace' : existsSync('/dev/fuse') ? undefined : 'needs /dev/fuse';
const real = missing === undefined ? test : (title: string, _run: unknown) => test.skip(`${title} (${missing})`, () => {});

/** What differs: the name of the question, what is answered here, and through the device. */
const DIFFERENT: Record<string, string> = {
  // root makes device nodes on its own machine; the device makes none for anybody
  'a device: 0': 'a device: EPERM',
};

real('a POSIX program gets the same answers through the device', async (t: import('ava').ExecutionContext) => {
  t.timeout(300_000);
  const base = mkdtempSync('/var/tmp/husk-posix-');
  t.teardown(() => rmSync(base, { recursive: true, force: true }));
  chmodSync(base, 0o755);
  const program = join(base, 'posix');
  execFileSync('gcc', ['-static', '-O1', '-Wall', '-Wextra', '-Wno-unused-result', '-Werror', '-o', program, join(here, '../guest/posix.c')]);
  for (const name of ['direct', 'behind', 'mnt', 'behind-ro', 'mnt-ro', 'direct-ro']) mkdirSync(join(base, name), { mode: 0o755 });
  for (const name of ['behind-ro', 'direct-ro']) {
    writeFileSync(join(base, name, 'file'), 'text');
    mkdirSync(join(base, name, 'dir'));
  }
  const direct = spawnSync(program, [join(base, 'direct')], { encoding: 'latin1' }).stdout;
  const through = (name: string, ...more: string[]) => {
    const script = 'mount --make-rprivate /; "$1" --disable-warning=ExperimentalWarning "$2" "$3" "$4" "$6" >"$4.log" 2>&1 & for i in $(seq 600); do grep -q mounted "$4.log" && break; sleep 0.1; done; "$5" "$4" $6; code=$?; umount "$4"; wait; cat "$4.log" >&2; exit $code';
    return run('unshare', ['-m', 'sh', '-c', script, 'sh', process.execPath, join(here, 'fuse-bridge.ts'), join(base, name.replace('mnt', 'behind')), join(base, name), program, ...more], { encoding: 'latin1' });
  };
  const { stdout, stderr } = await through('mnt');
  const [expected, found] = [direct.split('\n'), stdout.split('\n')];
  const differences = expected.flatMap((line, i) => (line === found[i] || DIFFERENT[line] === found[i] ? [] : [`${line}   through the device: ${found[i]}`]));
  t.deepEqual(differences, [], stderr);
  t.true(expected.length > 250, direct);
  t.is(found.length, expected.length);

  const fixed = await through('mnt-ro', 'ro');
  t.snapshot(fixed.stdout, 'every change is refused by the device, not by a mount flag');
});
