/**
 * The files of VM containers: `cp`, `diff`, `commit`, `export` and sizes, while they run by their agent, afterwards by
 * a machine that starts nothing of them.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import test from 'ava';
import { scanTar } from '../../src/tar/scan.ts';
import { tarball } from '../fixtures/tar.ts';
import { vmStart } from '../fixtures/vm-start.ts';
import { onKvmHost } from './kvm-host.ts';
import { BASE, missingParts, notByItself, root } from './parts.ts';

const HUSK = join(root, 'bin/husk');
/** ms; a machine for one request of a stopped container takes a minute in a loaded test host */
const TIMEOUT = 240_000;

const missing = missingParts() ?? notByItself();
if (missing) test.skip(missing, () => {});
// seven machines, one after another
else await onKvmHost(import.meta.url, register, { seconds: 900 });

function register(): void {
  const home = mkdtempSync(join(tmpdir(), 'husk-vm-files-'));
  const env = { ...process.env, XDG_DATA_HOME: join(home, 'data'), XDG_CONFIG_HOME: join(home, 'config') };
  mkdirSync(join(home, 'config/husk'), { recursive: true });
  writeFileSync(join(home, 'config/husk/config.json'), JSON.stringify(vmStart));
  const bytes = (args: string[], input?: Buffer) =>
    spawnSync(HUSK, args, { env, input, timeout: TIMEOUT, maxBuffer: 1 << 28 });
  const husk = (...args: string[]) => {
    const { status, stdout, stderr } = bytes(args);
    return { status, stdout: stdout.toString(), stderr: stderr.toString() };
  };
  const file = (name: string, content?: string): string => {
    const path = join(home, name);
    if (content !== undefined) writeFileSync(path, content);
    return path;
  };
  const names = (tar: string): string[] => {
    const found: string[] = [];
    scanTar(tar, ({ path }) => void found.push(path));
    return found;
  };
  const CHANGES = 'A /a\nA /a/b\nA /a/b/f\nA /a/l\nC /etc\nD /etc/group\n';

  test.before('an image', (t) => {
    const { status, stderr } = husk('import', '--change', 'CMD ["/bin/sh"]', BASE, 'husk/base');
    t.is(status, 0, stderr);
  });
  test.after.always('nothing is left', () => {
    husk('rm', '-f', 'files');
    // a maker of a template may be at work in it
    rmSync(home, { recursive: true, force: true, maxRetries: 10 });
  });

  test.serial('running: what the container sees, volumes and tmpfs with it', (t) => {
    const script =
      'mkdir -p /a/b; echo hi >/a/b/f; ln -s /etc/passwd /a/l; rm /etc/group; echo v >/vol/f; echo s >/scratch/f; while :; do sleep 1; done';
    const started = husk(
      'run',
      '-d',
      '--isolation=vm',
      '--network',
      'none',
      '--name',
      'files',
      '-v',
      'vol:/vol',
      '--tmpfs',
      '/scratch',
      '--tmpfs',
      '/small:size=64k',
      'husk/base',
      'sh',
      '-c',
      script,
    );
    t.is(started.status, 0, started.stderr);
    for (let tries = 0; husk('exec', 'files', 'test', '-s', '/scratch/f').status !== 0 && tries < 50; tries++);
    const changes = husk('diff', 'files');
    t.is(changes.stdout.replaceAll(/A \/(vol|scratch|small)\n/g, ''), CHANGES, changes.stderr);
    for (const [path, content] of [
      ['/a/b/f', 'hi\n'],
      ['/vol/f', 'v\n'],
      ['/scratch/f', 's\n'],
    ] as const) {
      t.is(husk('cp', `files:${path}`, file('out')).stderr, '');
      t.is(readFileSync(file('out'), 'utf8'), content);
    }
    t.is(husk('cp', 'files:/none', file('out')).stderr, 'Error: Could not find the file /none in container files\n');
    t.is(husk('cp', file('in', 'from the host'), 'files:/a/').stderr, '');
    t.is(husk('exec', 'files', 'sh', '-c', 'cat /a/in; stat -c " %u" /a/in').stdout, 'from the host 0\n');
  });

  test.serial('running: an archive stays in the container, which has devices', (t) => {
    const sent = bytes(
      ['cp', '-', 'files:/a'],
      tarball(
        { name: 'null', type: '3', major: 1, minor: 3, mode: 0o666 },
        { name: 'up', type: '2', link: '../../..' },
        { name: 'up/a/made', body: 'x' },
      ),
    );
    t.is(sent.status, 0, sent.stderr.toString());
    t.is(husk('exec', 'files', 'sh', '-c', 'stat -c %F /a/null; cat /a/made').stdout, 'character special file\nx');
    husk('exec', 'files', 'rm', '/a/null', '/a/up', '/a/made', '/a/in');
  });

  test.serial('running: an error of either side of a copy ends both; what the kernel makes up has its bytes', (t) => {
    const closed = file('closed', 'x');
    chmodSync(closed, 0);
    const half = gzipSync(tarball({ name: 'x', body: 'x'.repeat(100_000) })).subarray(0, 100);
    const big = file('too-big', 'x'.repeat(1_000_000));
    for (const [args, input, says] of [
      [['cp', closed, 'files:/x'], undefined, /^Error: cannot read \S+\/closed: permission denied\n$/],
      [['cp', '-', 'files:/a'], half, /^Error: broken gzip data: unexpected end of file\n$/],
      [['cp', big, 'files:/small/'], undefined, /^Error: cannot write \/small\/too-big: no space left on device\n$/],
    ] as const) {
      const { status, stderr } = bytes([...args], input);
      t.is(status, 1, args.join(' '));
      t.regex(stderr.toString(), says);
    }
    t.is(husk('cp', 'files:/proc/1/status', file('status')).stderr, '');
    t.regex(readFileSync(file('status'), 'utf8'), /^Name:/);
    husk('exec', 'files', 'rm', '-rf', '/x', '/a/x', '/small/too-big');
  });

  test.serial(
    'running: commit pauses it, and its image runs under both isolations; export is without mounts; a size',
    (t) => {
      const { status, stdout, stderr } = husk(
        'commit',
        '-m',
        'of a VM',
        '-c',
        'CMD ["sh","-c","cat /a/b/f; ls /etc/group 2>&1; stat -c %u:%g /a/l"]',
        'files',
        'made',
      );
      t.is(status, 0, stderr);
      t.regex(stdout, /^sha256:/);
      const expected = 'hi\nls: /etc/group: No such file or directory\n0:0\n';
      t.is(husk('run', '--rm', '--network', 'none', '--isolation=userns', 'made').stdout, expected);
      t.is(husk('run', '--rm', '--network', 'none', '--isolation=vm', 'made').stdout, expected);
      t.is(husk('inspect', '-f', '{{.State.Status}}', 'files').stdout, 'running\n');
      t.is(husk('export', '-o', file('e.tar'), 'files').status, 0);
      const listed = names(file('e.tar'));
      t.true(listed.includes('a/b/f') && listed.includes('bin/busybox'));
      t.deepEqual(
        listed
          .filter((name) => /^(vol|scratch|small|proc|etc\/group)(\/|$)/.test(name))
          .filter((name) => !['vol', 'scratch', 'small', 'proc'].includes(name)),
        [],
      );
      const size = Number(husk('inspect', '-s', '-f', '{{.SizeRw}}', 'files').stdout);
      t.true(size > 0 && size < 20e6, String(size));
    },
  );

  test.serial('a large file both ways, byte by byte', (t) => {
    const source = file('big');
    execFileSync('sh', ['-c', 'seq 1 300000 >"$0"', source]);
    t.is(husk('cp', source, 'files:/vol/../big').stderr, '');
    t.is(husk('cp', 'files:/big', file('back')).stderr, '');
    t.is(statSync(file('back')).size, statSync(source).size);
    t.true(readFileSync(file('back')).equals(readFileSync(source)));
    husk('exec', 'files', 'rm', '/big');
  });

  test.serial('stopped: the same, and nothing of it is started', (t) => {
    t.is(husk('kill', 'files').status, 0);
    t.regex(husk('ps', '-as', '--format', '{{.Size}}').stdout, /^\d[\d.]*[kM]?B \(virtual/);
    const changes = husk('diff', 'files');
    t.is(changes.stdout.replaceAll(/A \/(vol|scratch|small)\n/g, ''), CHANGES, changes.stderr);
    t.is(husk('cp', file('in', 'while it was stopped'), 'files:/a/in').stderr, '');
    t.is(husk('cp', 'files:/vol/f', file('out')).stderr, '');
    t.is(readFileSync(file('out'), 'utf8'), 'v\n');
    t.is(husk('inspect', '-f', '{{.State.Status}}', 'files').stdout, 'exited\n');
    const { stdout } = bytes(['cp', 'files:/a/in', '-']);
    t.true(stdout.includes('while it was stopped'));
    t.is(husk('rm', 'files').status, 0);
  });
}
