/** Damaged templates of machines: told, and removed by a repair. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { checkTemplates } from '../../../src/engine/check/templates.ts';
import { writeState, type MachineState } from '../../../src/vmm/snapshot/machine-state.ts';
import { listTemplates } from '../../../src/vmm/templates/folder.ts';

const KEY = 'b'.repeat(32);

const damages: [title: string, damage: (place: string) => void, problem: RegExp | undefined][] = [
  ['whole', () => {}, undefined],
  [
    'of a changed state',
    (place) => truncateSync(join(place, 'state'), 50),
    /^cannot read the snapshot .*: it has 6 bytes of state, not \d+$/,
  ],
  [
    'of a shorter memory',
    (place) => truncateSync(join(place, 'memory'), 4096),
    /^its memory has 4096 bytes, not 8192$/,
  ],
  [
    'without a memory',
    (place) => rmSync(join(place, 'memory')),
    /^a file of it is missing, or others may write to it$/,
  ],
  ['that others may write to', (place) => chmodSync(join(place, 'memory'), 0o666), /or others may write to it$/],
];
for (const [title, damage, problem] of damages)
  test(`a template ${title}`, async (t) => {
    const templates = mkdtempSync(join(tmpdir(), 'husk-check-templates-'));
    t.teardown(() => rmSync(templates, { recursive: true, force: true }));
    const place = join(templates, KEY);
    mkdirSync(place, { mode: 0o700 });
    writeState({ memory: 8192 } as MachineState, join(place, 'state'));
    writeFileSync(join(place, 'memory'), Buffer.alloc(8192), { mode: 0o600 });
    damage(place);
    const found = [...checkTemplates({ templates })];
    if (problem === undefined) return t.deepEqual(found, []);
    t.is(found.length, 1);
    t.like(found[0], { kind: 'template', name: place });
    t.regex(found[0]!.problem, problem);
    await found[0]!.repair!.run();
    t.deepEqual(listTemplates(templates), []);
  });
