/** Free memory of the C library's heap goes back to the host, and what is in use stays as it was. */
import { execFileSync } from 'node:child_process';
import test from 'ava';

test('freed memory goes back to the host, and the process goes on', (t) => {
  // below the size that malloc maps by itself, and below one that stays: only a trim gives it back
  const program = `
    const { trimHeap } = await import('${import.meta.dirname}/../../../src/host/memory/heap.ts');
    const resident = () => Number(/^RssAnon:\\s+(\\d+)/m.exec((await0).readFileSync('/proc/self/status', 'latin1'))[1]);
    let gone = Array.from({ length: 600 }, () => Buffer.allocUnsafeSlow(100_000).fill(1));
    const kept = Buffer.allocUnsafeSlow(100_000).fill(7);
    gone = undefined;
    gc();
    await new Promise((after) => setTimeout(after, 300));
    const before = resident();
    trimHeap();
    console.log(before - resident(), kept.every((byte) => byte === 7));
  `.replace('(await0)', "process.getBuiltinModule('node:fs')");
  const output = execFileSync(
    process.execPath,
    ['--expose-gc', '--disable-warning=ExperimentalWarning', '--input-type=module', '-e', program],
    { encoding: 'utf8' },
  );
  const [kilobytes, whole] = output.trim().split(' ');
  t.is(whole, 'true');
  t.true(Number(kilobytes) > 40_000, output);
});
