/**
 * Machines that go on from one template begin with the same memory. No two of their containers may draw the same by
 * chance: from the kernel, or in a program that has its own generator. On demand, HUSK_SIBLINGS=20 of them.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { listTemplates } from '../../src/vmm/templates/folder.ts';
import { Home, TIMEOUT } from './home.ts';
import { missingParts, onKvmHost } from './kvm-host.ts';
import { DRAW, DRAWS } from './draws.ts';
import { hasOpenssl, hasPython, makeRuntimes, RUNTIMES } from './runtimes.ts';

const SIBLINGS = Number(process.env['HUSK_SIBLINGS'] ?? 0);

const missing =
  missingParts() ?? (SIBLINGS > 1 ? undefined : 'half a minute for each in the test host: HUSK_SIBLINGS=20 runs it');
if (missing !== undefined) test.skip(missing, () => {});
else {
  makeRuntimes();
  await onKvmHost(import.meta.url, register, {
    seconds: 900 + SIBLINGS * 120,
    env: { HUSK_SIBLINGS: String(SIBLINGS) },
  });
}

function register(): void {
  const home = new Home();
  home.configure({ 'vm-start': 'template' });
  const folder = home.path('data/husk/templates');
  const lastUse = () => Math.max(0, ...listTemplates(folder).map(({ lastUsed }) => lastUsed));

  test.after.always('nothing is left running', async (t) => {
    t.deepEqual(await home.end(), []);
  });

  test(`${SIBLINGS} out of one template have nothing in common that is drawn by chance`, async (t) => {
    t.timeout((SIBLINGS + 2) * TIMEOUT);
    for (const [program, here] of [
      ['Python', hasPython],
      ['OpenSSL', hasOpenssl],
    ] as const)
      if (!here) t.log(`${program} is not on this machine`);
    home.must('import', RUNTIMES, 'husk/runtimes');
    const draw = () =>
      home.must('run', '--isolation=vm', '--rm', '--network', 'none', 'husk/runtimes', 'sh', '-c', DRAW).split('\n');
    draw();
    await made(folder);
    const drawn = Array.from({ length: SIBLINGS }, () => {
      const used = lastUse();
      const lines = draw();
      t.true(lastUse() > used, 'it booted');
      return lines;
    });
    const words = DRAWS.flatMap(([program, each]) => each.map((word) => [program, word] as const));
    for (const lines of drawn)
      t.deepEqual(
        lines.map((line) => line.split(' ')[0]),
        words.map(([, word]) => word),
      );
    for (const [at, [program, word]] of words.entries()) {
      const values = drawn.map((lines) => lines[at]!);
      for (const value of values) t.regex(value, / \S/, `${program}: ${word}`);
      t.is(new Set(values).size, SIBLINGS, `${program}: ${values.join(', ')}`);
    }
    t.is(listTemplates(folder).length, 1);
  });
}

/** Waits for the maker of a template. @throws its reason when it fails */
async function made(folder: string): Promise<void> {
  while (listTemplates(folder).length === 0) {
    const failed = existsSync(folder) ? readdirSync(folder).find((name) => name.endsWith('.failed')) : undefined;
    if (failed !== undefined) throw new Error(readFileSync(join(folder, failed), 'utf8'));
    await sleep(100);
  }
}
