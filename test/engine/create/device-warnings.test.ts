import { statSync } from 'node:fs';
import test from 'ava';
import { deviceWarnings } from '../../../src/engine/create/device-warnings.ts';
import { parseDevice } from '../../../src/notation/devices.ts';

const warnings = (devices: string[], uid: number) => deviceWarnings(devices.map(parseDevice), uid);
const zero = statSync('/dev/zero');
const disk = ['/dev/loop-control', '/dev/kmsg', '/dev/mem'].find(
  (path) => (statSync(path, { throwIfNoEntry: false })?.mode ?? 0o6) % 8 === 0,
);

test('one that everybody may use', (t) => {
  t.is(zero.mode & 0o006, 0o006);
  t.deepEqual(warnings(['/dev/zero', '/dev/zero:/dev/mine:rw'], 1000), []);
});
test('a folder, and what is not there', (t) => t.deepEqual(warnings(['/dev', '/dev/no-such'], 1000), []));
if (disk !== undefined) {
  test("one of root's", (t) =>
    t.regex(
      warnings([disk], 1000)[0]!,
      new RegExp(`^--device ${disk}: its node \\(owner 0:\\d+, mode 0\\d+\\) gives you no access`),
    ));
  // root of the container is not the host's
  test("one of root's, for root", (t) => t.is(warnings([disk], 0).length, 1));
}
