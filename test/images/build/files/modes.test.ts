/** `--chmod`: what becomes of a mode. chmod(1) judges. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { parseChmod } from '../../../../src/images/build/files/modes.ts';
import { Place } from '../stage.ts';

const TEXTS = [
  '0',
  '755',
  '4711',
  '07777',
  'u=rwX,go=rX',
  'a+x',
  'go-rwx',
  'u=g',
  'g=u,o=',
  'a=r,u+w',
  'u+s,g+s',
  '+t',
  'u-x+w',
  'o=u-w',
];
const MODES = [0, 0o644, 0o755, 0o600, 0o4711, 0o2750, 0o1777];

for (const text of TEXTS) {
  test(`--chmod=${text} is what chmod makes of it`, (t) => {
    using place = new Place();
    const [file, folder] = [join(place.root, 'f'), join(place.root, 'd')];
    writeFileSync(file, '');
    mkdirSync(folder);
    const change = parseChmod(text);
    for (const mode of MODES) {
      for (const [path, isFolder] of [
        [file, false],
        [folder, true],
      ] as const) {
        chmodSync(path, mode);
        // A number as long as this makes chmod take setuid and setgid from a folder too.
        execFileSync('chmod', ['--', /^\d/.test(text) ? text.padStart(5, '0') : text, path]);
        t.is(change(mode, isFolder).toString(8), (statSync(path).mode & 0o7777).toString(8), `of ${mode.toString(8)}`);
      }
    }
  });
}

for (const text of [
  '',
  '8',
  '08',
  '10000',
  '-1',
  'x',
  'u',
  'u=q',
  'u=rw,',
  'u=gr',
  `u=${'r'.repeat(300)}`,
  '0x1ff',
  '7 5',
]) {
  test(`--chmod=${text.slice(0, 10)} is refused`, (t) => {
    t.throws(() => parseChmod(text), { message: /^invalid chmod parameter: '/, name: 'HuskError' });
  });
}
