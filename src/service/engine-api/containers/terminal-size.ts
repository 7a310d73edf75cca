/** The size of a terminal in a query: `h` and `w`, rows and columns. */
import { HuskError } from '../../../errors.ts';
import type { Call } from '../../http/contract.ts';

/** largest number of rows and columns that a terminal's window has (struct winsize of termios.h: unsigned short) */
const MAX_SIDE = 0xffff;

/** @throws HuskError `invalid` */
export function readSize({ query }: Pick<Call, 'query'>): { columns: number; rows: number } {
  const side = (name: string): number => {
    const value = query.integer(name) ?? 0;
    if (value < 0 || value > MAX_SIDE)
      throw new HuskError(`invalid resize ${name === 'h' ? 'height' : 'width'} "${value}": value out of range`, {
        kind: 'invalid',
      });
    return value;
  };
  return { rows: side('h'), columns: side('w') };
}
