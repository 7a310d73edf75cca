/**
 * The golden cases: what husk's build gives beside what BuildKit gave for the same Dockerfile and context. Where
 * husk is meant to differ, the difference stands in DIFFERENT with its reason; what is not right yet stands in
 * FAILING, a list that may only shrink.
 */
import { chmodSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { Image } from '../../../src/images/store/contract.ts';
import { temporaryFolder } from '../../fixtures/temporary.ts';
import { makeBox } from './box.ts';
import { huskIn, makeContext, runCase, type GoldenCase } from './golden-case.ts';
import { DIFFERENT, FAILING } from './golden-differences.ts';
import { problems } from './golden-problems.ts';

const CASES = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../images/build/corpus/golden/cases.json'), 'utf8'),
) as GoldenCase[];
/** one case, or several: `GOLDEN=copydot,addtar npx ava test/engine/build/golden.test.ts` */
const CHOSEN = process.env['GOLDEN']?.split(',');

const work = temporaryFolder('husk-golden-');
chmodSync(work, 0o755);
const root = join(work, 'root');
let box: Image;

test.before('the image box, as INDEX.md describes it', async () => {
  box = await makeBox(work, root);
});

for (const golden of CASES) {
  const { id } = golden;
  if (CHOSEN && !CHOSEN.includes(id)) continue;
  const failing = FAILING[id];
  test.serial(failing === undefined ? id : `${id} is not right yet: ${failing}`, async (t) => {
    const folder = makeContext(work, golden);
    let said: string[];
    try {
      said = problems(await runCase(folder, root, golden, box), golden);
    } catch (error) {
      said = [`it threw: ${error instanceof Error ? error.stack : String(error)}`];
    }
    if (failing === undefined || CHOSEN) t.deepEqual(said, []);
    else t.not(said.length, 0, 'it is right now: take it out of FAILING');
  });
}

test.serial(
  'of six builds at once one makes a step, the others wait for it, and all give the same image',
  async (t) => {
    const folder = makeContext(work, {
      id: 'atonce',
      dockerfile: 'FROM box\nRUN echo OUT:made; date +%N > /t\n',
      buildkit: { rc: 0 },
    });
    const words = ['--data-root', root, 'build', '--progress=plain', '--isolation=userns', '--iidfile'];
    const builds = await Promise.all(
      [1, 2, 3, 4, 5, 6].map((each) => huskIn(folder, [...words, join(work, `iid-${each}`), '.'])),
    );
    t.deepEqual(
      builds.map(({ code }) => code),
      [0, 0, 0, 0, 0, 0],
    );
    t.is(builds.filter(({ stderr }) => /^#\d+ [\d.]+ OUT:made$/m.test(stderr)).length, 1);
    t.is(new Set([1, 2, 3, 4, 5, 6].map((each) => readFileSync(join(work, `iid-${each}`), 'utf8'))).size, 1);
  },
);

test('the lists name cases of the corpus, and no case is in both', (t) => {
  const ids = new Set(CASES.map(({ id }) => id));
  for (const id of [...Object.keys(DIFFERENT), ...Object.keys(FAILING)]) t.true(ids.has(id), id);
  for (const id of Object.keys(FAILING)) t.false(id in DIFFERENT, id);
  t.is(ids.size, CASES.length);
});
