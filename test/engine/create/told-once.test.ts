/** What is told once after each boot. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { isNews } from '../../../src/engine/create/told-once.ts';

function host(t: ExecutionContext): { dataRoot: string; bootId: string } {
  const dataRoot = mkdtempSync(join(tmpdir(), 'husk-news-'));
  t.teardown(() => rmSync(dataRoot, { recursive: true }));
  const bootId = join(dataRoot, 'boot_id');
  writeFileSync(bootId, 'first\n');
  return { dataRoot, bootId };
}

test('each text once a boot', (t) => {
  const here = host(t);
  const news = (text: string) => isNews(text, here, here.bootId);
  t.deepEqual([news('a'), news('b'), news('a'), news('b')], [true, true, false, false]);
  writeFileSync(here.bootId, 'second\n');
  t.deepEqual([news('a'), news('a')], [true, false]);
});

test('what is kept is bounded, and lines in a text do not forge others', (t) => {
  const here = host(t);
  for (let i = 0; i < 200; i++) isNews(`text ${i}`, here, here.bootId);
  t.true(readFileSync(join(here.dataRoot, 'cache/news'), 'utf8').split('\n').length <= 66);
  isNews('x\n"y"', here, here.bootId);
  t.true(isNews('y', here, here.bootId));
});

test('where nothing can be kept it is told again', (t) => {
  const { bootId } = host(t);
  for (let i = 0; i < 2; i++) t.true(isNews('a', { dataRoot: '/dev/null' }, bootId));
});
