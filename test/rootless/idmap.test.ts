/** What subuid(5) files say, which map comes of it, and what is told to a person whose machine cannot write it. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { HuskError } from '../../src/errors.ts';
import {
  buildIdMap,
  buildRootIdMap,
  idMaps,
  parseIdMap,
  parseSubordinateIds,
  rootRange,
  writeIdMaps,
} from '../../src/rootless/idmap.ts';

const WHOLE = '         0          0 4294967295\n';

for (const [title, text, expected] of [
  ['by name', 'ann:100000:65536\nbob:165536:65536\n', [[100000, 65536]]],
  ['by uid', '1000:100000:65536\n1001:5:5\n', [[100000, 65536]]],
  [
    'several, in order',
    'ann:300000:10\nann:100000:10\n1000:200000:10',
    [
      [300000, 10],
      [100000, 10],
      [200000, 10],
    ],
  ],
  ['no final newline, spaces around', '  ann:100000:1  ', [[100000, 1]]],
  ['a name that begins alike', 'anna:1:1\nan:1:1', []],
  [
    'nonsense is passed over',
    'ann\nann:\nann:x:1\nann:1:\nann:-1:5\nann:1:2:3\n:1:1\nann:1e3:5\nann:99999999999:1',
    [],
  ],
  ['empty ranges', 'ann:1:0', []],
  ['beyond the last id', 'ann:4294967294:2\nann:4294967294:1', [[4294967294, 1]]],
  ['empty file', '', []],
] as [string, string, number[][]][]) {
  test(`subordinate ids: ${title}`, (t) => {
    t.deepEqual(
      parseSubordinateIds(text, { name: 'ann', uid: 1000 }).map(({ start, count }) => [start, count]),
      expected,
    );
  });
}

for (const [title, own, ranges, expected] of [
  ['one range', 1000, [[100000, 65536]], '0 1000 1,1 100000 65536'],
  [
    'two ranges',
    1000,
    [
      [100000, 10],
      [300000, 5],
    ],
    '0 1000 1,1 100000 10,11 300000 5',
  ],
  [
    'the same range twice',
    1000,
    [
      [100, 10],
      [100, 10],
    ],
    '0 1000 1,1 100 10',
  ],
  [
    'ranges that overlap',
    1000,
    [
      [100, 10],
      [105, 10],
    ],
    '0 1000 1,1 100 10,11 110 5',
  ],
  [
    'a range inside another, the larger last',
    1000,
    [
      [105, 2],
      [100, 10],
    ],
    '0 1000 1,1 105 2,3 100 5,8 107 3',
  ],
  ['own id inside the range', 1000, [[999, 3]], '0 1000 1,1 999 1,2 1001 1'],
  ['none', 1000, [], '0 1000 1'],
] as [string, number, number[][], string][]) {
  test(`map: ${title}`, (t) => {
    const map = buildIdMap(
      own,
      ranges.map(([start, count]) => ({ start: start!, count: count! })),
    );
    t.is(map.map((line) => `${line.containerID} ${line.hostID} ${line.size}`).join(','), expected);
  });
}

test('map: no more lines than the kernel takes', (t) => {
  const map = buildIdMap(
    1000,
    Array.from({ length: 500 }, (_, i) => ({ start: 100_000 + 2 * i, count: 1 })),
  );
  t.is(map.length, 340);
});

test("root's map never has host id 0", (t) => {
  t.deepEqual(buildRootIdMap([{ start: 0, count: 10 }]), [{ containerID: 0, hostID: 1, size: 9 }]);
});

for (const [title, preferred, own, expected] of [
  ['the default', [], WHOLE, [[1_000_000_000, 65536]]],
  ['from subuid', [[500000, 1000]], WHOLE, [[500000, 1000]]],
  ['inside a container of 65536 ids', [], '0 100000 65536', [[1, 65535]]],
  ['inside a container, subuid of the outer machine', [[500000, 1000]], '0 100000 65536\n', [[1, 65535]]],
  ['the longest stretch', [], '0 1000 1\n1 100000 500\n501 300000 2000', [[501, 2000]]],
  ['only root', [], '0 1000 1', []],
] as [string, number[][], string, number[][]][]) {
  test(`root's range: ${title}`, (t) => {
    const ranges = rootRange(
      preferred.map(([start, count]) => ({ start: start!, count: count! })),
      parseIdMap(own),
    );
    t.deepEqual(
      ranges.map(({ start, count }) => [start, count]),
      expected,
    );
  });
}

const folder = (files: Record<string, string>): string => {
  const path = mkdtempSync(join(tmpdir(), 'husk-idmap-'));
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(path, name), text);
    if (name.startsWith('new')) chmodSync(join(path, name), 0o755);
  }
  return path;
};

test('no range: refused with the command that gives one', (t) => {
  const etc = folder({ subuid: 'bob:1:1\n', subgid: '' });
  const error = t.throws(() => idMaps({ uid: 1000, gid: 1000, name: 'ann', etc }), { instanceOf: HuskError })!;
  t.is(error.message, `cannot map uids: ${etc}/subuid has no range for ann`);
  t.is(error.fix, 'sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ann');
  rmSync(etc, { recursive: true });
});

test('a range for uids only is no range for gids', (t) => {
  const etc = folder({ subuid: 'ann:100000:65536\n' });
  t.throws(() => idMaps({ uid: 1000, gid: 1000, name: 'ann', etc }), {
    message: `cannot map gids: ${etc}/subgid has no range for ann`,
  });
  rmSync(etc, { recursive: true });
});

const ANN = {
  direct: false,
  uid: buildIdMap(1000, [{ start: 100_000, count: 65_536 }]),
  gid: buildIdMap(1000, [{ start: 100_000, count: 65_536 }]),
};

test('newuidmap absent: one line with the fix', async (t) => {
  const path = folder({});
  const error = await t.throwsAsync(writeIdMaps(1, ANN, { path }), { instanceOf: HuskError });
  t.is(error!.message, 'cannot map uid range 100000-165535: newuidmap is not installed');
  t.is((error as HuskError).fix, 'apt install uidmap');
  rmSync(path, { recursive: true });
});

test('newuidmap not setuid: one line with the fix', async (t) => {
  const refuse = '#!/bin/sh\necho "${0##*/}: write to uid_map failed: Operation not permitted" >&2; exit 1\n';
  const path = folder({ newuidmap: refuse, newgidmap: '#!/bin/sh\n' });
  const error = await t.throwsAsync(writeIdMaps(1, ANN, { path }), { instanceOf: HuskError });
  t.is(
    error!.message,
    `cannot map uid range 100000-165535: ${path}/newuidmap is not setuid root (and may have no file capability)`,
  );
  t.regex((error as HuskError).fix!, /^sudo chmod u\+s /);
  rmSync(path, { recursive: true });
});

test('newuidmap refusing: its own words', async (t) => {
  const path = folder({
    newuidmap: '#!/bin/sh\necho "newuidmap: uid range [1-65537) -> [100000-165536) not allowed" >&2; exit 1\n',
    newgidmap: '#!/bin/sh\n',
  });
  await t.throwsAsync(writeIdMaps(1, ANN, { path }), {
    message:
      /^cannot map uid range 100000-165535: .*newuidmap: uid range \[1-65537\) -> \[100000-165536\) not allowed$/,
  });
  rmSync(path, { recursive: true });
});

test('parsers take anything', (t) => {
  // a small deterministic generator: failures are repeatable
  let seed = 1;
  const next = (bound: number) => (seed = (seed * 48271) % 2147483647) % bound;
  for (let round = 0; round < 2000; round++) {
    const text = Array.from({ length: next(60) }, () => 'ann:0123456789\n\t -\0é'[next(20)] ?? '').join('');
    for (const range of parseSubordinateIds(text, { name: 'ann', uid: 1000 }))
      t.true(range.count > 0 && range.start >= 0);
    const map = buildIdMap(1000, parseSubordinateIds(text, { name: 'ann', uid: 1000 }));
    t.true(
      map.every(
        (line, i) => line.size > 0 && line.containerID === map.slice(0, i).reduce((sum, { size }) => sum + size, 0),
      ),
    );
    parseIdMap(text);
  }
});
