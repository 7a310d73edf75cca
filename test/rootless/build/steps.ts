/** Cases of RUN steps: code that runs as an ordinary user and as root, with all of inside.ts in scope. Not a test. */
import { join } from 'node:path';
import test from 'ava';
import { AS_ROOT, asRoot, asUser } from '../containers.ts';

const NAMES = [
  'p',
  'addLayer',
  'tarOf',
  'base',
  'open',
  'box',
  'operation',
  'step',
  'layerOf',
  'listOf',
  'failed',
  'done',
];
const INSIDE = JSON.stringify(join(import.meta.dirname, 'inside.ts'));
/** a time that no other process of this machine sleeps, and whether one does */
const SLEEP = `const SLEEP = String(1e6 + process.pid);
const runs = () => spawnSync('pgrep', ['-f', '^(sleep|.* sleep) ' + SLEEP + '$']).status === 0;
`;
const STEPS = `${SLEEP}const INSIDE = ${INSIDE};\nconst { ${NAMES.join(', ')} } = await import(INSIDE);\n`;

/** one case: code that prints, and what it must print, under each kind of caller */
export function both(title: string, code: string, expected: string | RegExp): void {
  for (const [who, run] of [
    ['user', asUser],
    ['root', asRoot],
  ] as const) {
    (who === 'root' && !AS_ROOT ? test.skip : test)(`${title} (${who})`, (t) => {
      const { stdout, stderr, status } = run(`${STEPS}${code}\nawait done();`);
      t.is(stderr, '');
      if (typeof expected === 'string') t.is(stdout, expected);
      else t.regex(stdout, expected);
      t.is(status, 0);
    });
  }
}
