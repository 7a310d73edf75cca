/** Names of here-documents, where they become files. */
import { HuskError } from '../../../errors.ts';

/** bytes of a name (NAME_MAX of linux/limits.h) */
const MAX_NAME = 255;

/**
 * Checks the name of a here-document that becomes a file: `<<"../../etc/passwd"` would leave its folder.
 * @throws HuskError `invalid`
 */
export function fileName(name: string): string {
  if (name === '.' || name === '..' || /[/\0]/.test(name) || Buffer.byteLength(name) > MAX_NAME)
    throw new HuskError(
      `cannot make a file of the here-document ${JSON.stringify(name.slice(0, MAX_NAME))}: no file has this name`,
      {
        kind: 'invalid',
        fix: 'name it without slashes',
      },
    );
  return name;
}
