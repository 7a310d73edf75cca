/** Why there is no way out, in pasta's own words: bounded by the file that has them, and harmless on a terminal. */
import { writeSync } from 'node:fs';
import test from 'ava';
import { openSaid, reasonOf } from '../../src/network/readiness.ts';

const SAID: [what: string, said: string, reason: string | undefined][] = [
  ['nothing', '', undefined],
  ['zeros of a file that nobody wrote to', '\0'.repeat(4096), undefined],
  ['one line', 'no tun\n\0\0', 'no tun'],
  ['the last of several', 'first\nsecond\n', 'second'],
  ['one without an end', 'no tun', 'no tun'],
  ['one that the file was full for', 'no tun\nno t', 'no tun'],
  ['a logger that is not there', 'no tun\nconnect to syslog: no such file\n', 'no tun'],
  ['advice alone', "Don't run as root. Changing to nobody...\n", undefined],
  ['blank lines', 'no tun\n\n \n', 'no tun'],
  ['what a terminal would obey', 'no \x1b]0;tun\x07\r\x9b2J\n', 'no  ]0;tun   2J'],
];
for (const [what, said, reason] of SAID) test(`a reason: ${what}`, (t) => t.is(reasonOf(said), reason));

test('what is said does not grow, and whoever says it goes on', (t) => {
  using said = openSaid();
  t.is(writeSync(said.number, Buffer.alloc(4000)), 4000);
  t.is(writeSync(said.number, Buffer.alloc(4000)), 96);
  t.throws(() => writeSync(said.number, Buffer.alloc(1)), { code: 'EPERM' });
});
