/** Parsers that the command line shares throw plain errors; to a client of the API all of them are of its request. */
import { HuskError } from '../../../../errors.ts';

/** @throws HuskError `invalid` with the parser's text */
export function refusing<T>(parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    if (cause instanceof HuskError) throw cause;
    throw new HuskError((cause as Error).message, { kind: 'invalid', cause });
  }
}
