/**
 * A POSIX program on a folder, and on the same kind of folder through the file system device and this machine's FUSE
 * client: the answers must be the same.
 */
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';

const run = promisify(execFile);
const here = import.meta.dirname;
const missing =
  process.getuid!() !== 0
    ? 'needs root, to mount FUSE in a mount namespace'
    : existsSync('/dev/fuse')
      ? undefined
      : 'needs /dev/fuse';
const real =
  missing === undefined ? test : (title: string, _run: unknown) => test.skip(`${title} (${missing})`, () => {});

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
  execFileSync('gcc', [
    '-static',
    '-O1',
    '-Wall',
    '-Wextra',
    '-Wno-unused-result',
    '-Werror',
    '-o',
    program,
    join(here, '../guest/posix.c'),
  ]);
  for (const name of ['direct', 'behind', 'mnt', 'behind-ro', 'mnt-ro', 'direct-ro'])
    mkdirSync(join(base, name), { mode: 0o755 });
  for (const name of ['behind-ro', 'direct-ro']) {
    writeFileSync(join(base, name, 'file'), 'text');
    mkdirSync(join(base, name, 'dir'));
  }
  const direct = spawnSync(program, [join(base, 'direct')], { encoding: 'latin1' }).stdout;
  const through = (name: string, ...more: string[]) => {
    const script =
      'mount --make-rprivate /; "$1" --disable-warning=ExperimentalWarning "$2" "$3" "$4" "$6" >"$4.log" 2>&1 & for i in $(seq 600); do grep -q mounted "$4.log" && break; sleep 0.1; done; "$5" "$4" $6; code=$?; umount "$4"; wait; cat "$4.log" >&2; exit $code';
    return run(
      'unshare',
      [
        '-m',
        'sh',
        '-c',
        script,
        'sh',
        process.execPath,
        join(here, 'fuse-bridge.ts'),
        join(base, name.replace('mnt', 'behind')),
        join(base, name),
        program,
        ...more,
      ],
      { encoding: 'latin1' },
    );
  };
  const { stdout, stderr } = await through('mnt');
  const [expected, found] = [direct.split('\n'), stdout.split('\n')];
  const differences = expected.flatMap((line, i) =>
    line === found[i] || DIFFERENT[line] === found[i] ? [] : [`${line}   through the device: ${found[i]}`],
  );
  t.deepEqual(differences, [], stderr);
  t.true(expected.length > 250, direct);
  t.is(found.length, expected.length);

  const fixed = await through('mnt-ro', 'ro');
  t.snapshot(fixed.stdout, 'every change is refused by the device, not by a mount flag');
});

/** As the engine binds them into the jail and the guest into the container: src/vmm/binds.ts. */
const BINDS = `set -e; mount --make-rprivate /; cd "$3"; mkdir jail mnt-binds folder fixed ctr; mkdir ctr/rw ctr/ro; touch ctr/file ctr/file-ro
echo text >folder/file; echo fixed >fixed/file; echo one >single; echo two >single-ro
mount -t tmpfs jail jail; mkdir jail/0 jail/1 jail/4; touch jail/2 jail/3
mount --bind folder jail/0; mount -t tmpfs other fixed; echo fixed >fixed/file; mount --bind fixed jail/1; mount -o remount,bind,ro jail/1; mount --bind single jail/2; mount --bind single-ro jail/3; mount -o remount,bind,ro jail/3; mount --bind folder jail/4; mount -o remount,bind,ro jail/4; mount -o remount,ro jail
"$1" --disable-warning=ExperimentalWarning "$2" jail mnt-binds >log 2>&1 & for i in $(seq 600); do grep -q mounted log && break; sleep 0.1; done
mount --bind mnt-binds/0 ctr/rw; mount --bind mnt-binds/1 ctr/ro; mount --bind mnt-binds/2 ctr/file; mount --bind mnt-binds/3 ctr/file-ro
set +e; exec 2>&1
cat ctr/rw/file ctr/ro/file ctr/file ctr/file-ro
echo new >ctr/rw/new; cat folder/new; echo x >ctr/ro/file; chmod 777 ctr/ro/file; touch ctr/ro/x; rm ctr/ro/file
echo changed >ctr/file; cat single; echo outside >single; cat ctr/file; echo x >ctr/file-ro; chmod 777 ctr/file-ro
rm ctr/file; mv ctr/rw/new ctr/file; echo renamed >single.new; mv single.new single; cat ctr/file
echo x >mnt-binds/4/file; echo again >ctr/rw/file; cat mnt-binds/4/file; touch mnt-binds/new; rmdir mnt-binds/0; mv mnt-binds/2 mnt-binds/9
ln ctr/rw/file mnt-binds/4/other; mv ctr/rw/new ctr/ro/new
echo $(stat -c %i mnt-binds/0/file mnt-binds/4/file mnt-binds/1/file mnt-binds/1 mnt-binds/2 | sort -u | wc -l) files $(ls -i mnt-binds/1 | grep -c $(stat -c %i mnt-binds/1/file)) alike; test $(stat -c %i mnt-binds/1/file) -gt 281474976710656 && echo apart
umount ctr/rw ctr/ro ctr/file ctr/file-ro; umount mnt-binds; wait; cat log`;

real(
  'folders and single files in one device, some read-only, one of them twice',
  async (t: import('ava').ExecutionContext) => {
    t.timeout(120_000);
    const base = mkdtempSync('/var/tmp/husk-binds-');
    t.teardown(() => rmSync(base, { recursive: true, force: true }));
    const { stdout } = await run(
      'unshare',
      ['-m', 'sh', '-c', BINDS, 'sh', process.execPath, join(here, 'fuse-bridge.ts'), base],
      { env: { ...process.env, LC_ALL: 'C' } },
    );
    t.snapshot(stdout);
  },
);
