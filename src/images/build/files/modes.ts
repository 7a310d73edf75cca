/**
 * `--chmod`: an octal mode, or chmod(1)'s symbolic one (`u=rwX,go=rX`), which needs no umask: a clause without a class
 * means all. The functions are pure.
 */
import { HuskError } from '../../../errors.ts';

/** limit of characters of a mode */
const MAX_TEXT = 256;
const CLAUSE = /^([ugoa]*)((?:[-+=](?:[rwxXst]+|[ugo])?)+)$/;
const ACTION = /([-+=])([rwxXst]+|[ugo])?/g;

export type ChangeMode = (mode: number, isFolder: boolean) => number;

/** @throws HuskError `invalid` that quotes the text; in BuildKit's words where it is a number */
export function parseChmod(text: string): ChangeMode {
  const shown = `invalid chmod parameter: '${text.slice(0, MAX_TEXT)}'`;
  const refuse = () =>
    /^[-+]?\d/.test(text)
      ? new HuskError(`${shown}. it should be octal string and between 0 and 07777`, { kind: 'invalid' })
      : new HuskError(shown, { kind: 'invalid', fix: 'write octal digits, or u=rwX,go=rX' });
  if (/^0*[0-7]{1,4}$/.test(text)) {
    const octal = Number.parseInt(text, 8);
    return () => octal;
  }
  if (text.length > MAX_TEXT) throw refuse();
  const changes = text.split(',').flatMap((clause) => {
    const [, classes, actions] = CLAUSE.exec(clause) ?? [];
    if (classes === undefined || actions === undefined) throw refuse();
    return [...actions.matchAll(ACTION)].map(([, operator, bits = '']) =>
      change(classes === '' || classes.includes('a') ? 'ugo' : classes, operator!, bits),
    );
  });
  return (mode, isFolder) => changes.reduce((changed, apply) => apply(changed, isFolder), mode);
}

const SHIFT: Record<string, number> = { u: 6, g: 3, o: 0 };
/** the bit beside each class's own, and the letter that stands for it */
const SPECIAL: Record<string, { bit: number; letter: string }> = {
  u: { bit: 0o4000, letter: 's' },
  g: { bit: 0o2000, letter: 's' },
  o: { bit: 0o1000, letter: 't' },
};
const STICKY = 0o1000;

function change(classes: string, operator: string, bits: string): ChangeMode {
  return (mode, isFolder) => {
    let given = 0;
    let cleared = 0;
    for (const one of classes) {
      const shift = SHIFT[one]!;
      const { bit, letter } = SPECIAL[one]!;
      given |= permissionsOf(bits, mode, isFolder) << shift;
      if (bits.includes(letter)) given |= bit;
      // A folder keeps setuid and setgid, which mean something else there, as with GNU's chmod.
      cleared |= (0o7 << shift) | (isFolder && bit !== STICKY ? 0 : bit);
    }
    if (operator === '+') return mode | given;
    return operator === '-' ? mode & ~given : (mode & ~cleared) | given;
  };
}

/** @returns three bits */
function permissionsOf(bits: string, mode: number, isFolder: boolean): number {
  const copied = SHIFT[bits];
  if (copied !== undefined) return (mode >> copied) & 0o7;
  let found = 0;
  if (bits.includes('r')) found |= 4;
  if (bits.includes('w')) found |= 2;
  if (bits.includes('x') || (bits.includes('X') && (isFolder || (mode & 0o111) !== 0))) found |= 1;
  return found;
}
