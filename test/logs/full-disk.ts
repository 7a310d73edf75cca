/**
 * Writes more than its folder, a small tmpfs, has room for; makes room; writes once more; prints what happened. Run in
 * a mount namespace by file-log.test.ts.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { JsonFormat } from '../../src/logs/json-format.ts';
import { LocalFormat } from '../../src/logs/local-format.ts';
import { logPath } from '../../src/logs/open.ts';
import { CONTAINER, open, readAll } from './folder.ts';

const [at = '', driver = ''] = process.argv.slice(2);
const ballast = join(at, 'ballast');
writeFileSync(ballast, Buffer.alloc(32 * 1024));
const trouble: string[] = [];
const log = await open(at, driver, {}, (message) => trouble.push(message));
const written = 3000;
for (let index = 0; index < written; index++) {
  log.output('stdout', Buffer.from(`line ${index} ${'x'.repeat(50)}\n`));
  if (index % 10 === 0) await sleep(0);
}
rmSync(ballast);
log.output('stdout', Buffer.from('after\n'));
await log.end();
const found = (
  await readAll(logPath(at, { id: CONTAINER.id, driver }), {
    format: driver === 'local' ? new LocalFormat() : new JsonFormat(),
  })
).map(({ text }) => text);
console.log(JSON.stringify({ trouble, found, written }));
