/** What husk's own parts say of themselves, out of files that are small, cut short, or something else. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { partVersions } from '../../../src/engine/look/part-versions.ts';
import { VERSION } from '../../../src/version.ts';
import { temporaryFolder } from '../../fixtures/temporary.ts';
import { ROOT } from '../../fixtures/user.ts';

const MIB = 1 << 20;
const banner = Buffer.from('Linux version 6.12.117-husk (husk@husk) (gcc');

function versionOf(part: 'kernel' | 'agentDisk', content: Buffer | undefined): string | undefined {
  const file = join(temporaryFolder('husk-parts-'), 'part');
  if (content) writeFileSync(file, content);
  const none = join(file, 'none');
  const name = part === 'kernel' ? 'Guest kernel' : 'Agent disk';
  return partVersions({ launcher: none, kernel: none, agentDisk: none, [part]: file }).find(
    (each) => each.name === name,
  )?.version;
}

const at = (offset: number, bytes: Buffer, length = offset + bytes.length) => {
  const content = Buffer.alloc(length);
  bytes.copy(content, offset);
  return content;
};

const KERNELS: [what: string, content: Buffer | undefined, version: string | undefined][] = [
  ['none', undefined, undefined],
  ['an empty one', Buffer.alloc(0), 'unknown'],
  ['one that says nothing', Buffer.alloc(3 * MIB), 'unknown'],
  ['one that says it at the start', at(0, banner), '6.12.117-husk'],
  ['across two reads', at(MIB - 5, banner, 3 * MIB), '6.12.117-husk'],
  ['at the end of a read', at(MIB + 78 - 20, banner, 3 * MIB), '6.12.117-husk'],
  ['a format before the version', Buffer.concat([Buffer.from('Linux version %s (%s)\0'), banner]), '6.12.117-husk'],
  ['a version that does not end', Buffer.from(`Linux version 6.${'1'.repeat(200)}`), 'unknown'],
  ['control characters', Buffer.from('Linux version 6\x1b[31m (x)'), 'unknown'],
];
for (const [what, content, version] of KERNELS)
  test(`kernel: ${what}`, (t) => t.is(versionOf('kernel', content), version));

const DISKS: [what: string, content: Buffer | undefined, version: string | undefined][] = [
  ['none', undefined, undefined],
  ['an empty one', Buffer.alloc(0), 'unknown'],
  ['one of before', Buffer.alloc(4096), 'unknown'],
  ['one that says it', at(1072, Buffer.from('6875736b000080018002000000000000', 'hex'), 4096), '0.1.2'],
  ['large numbers', at(1072, Buffer.from('6875736b00ff8fff8100000000000000', 'hex'), 4096), '255.4095.256'],
];
for (const [what, content, version] of DISKS)
  test(`agent disk: ${what}`, (t) => t.is(versionOf('agentDisk', content), version));

const made = existsSync(join(ROOT, 'dist/agent.erofs')) && existsSync(join(ROOT, 'dist/vmlinux'));
(made ? test : test.skip)(`those of this checkout${made ? '' : ' (needs make vm)'}`, (t) => {
  const parts = partVersions();
  t.deepEqual(
    parts.map(({ name }) => name),
    ['Launcher', 'Node', 'SQLite', 'Guest kernel', 'Agent disk'],
  );
  t.is(parts.find(({ name }) => name === 'Agent disk')!.version, VERSION);
  t.regex(parts.find(({ name }) => name === 'Guest kernel')!.version, /^\d+\.\d+\.\d+-husk$/);
});
