/**
 * Checks what a volume may be called, by Docker's rule and with its texts. A name becomes a folder below `volumes/`, so
 * this check also keeps `..` out.
 */
import { HuskError } from '../errors.ts';
import { randomHex } from '../host/kernel/random.ts';

/** RestrictedNamePattern of moby's volume/local */
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;
/** limit of bytes, NAME_MAX of limits.h, because a name is a folder's name */
const MAX_NAME = 255;

/** @throws HuskError `invalid` with Docker's text */
export function checkVolumeName(name: string): void {
  if (name.length === 1)
    throw new HuskError(
      `create ${name}: volume name is too short, names should be at least two alphanumeric characters`,
      { kind: 'invalid' },
    );
  if (!NAME.test(name) || name.length > MAX_NAME)
    throw new HuskError(
      `create ${clip(name)}: ${JSON.stringify(clip(name))} includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`,
      { kind: 'invalid' },
    );
}

/** @returns 64 hex digits, which is Docker's form of an anonymous volume's name */
export function anonymousName(): string {
  return randomHex(32);
}

function clip(text: string): string {
  return text.length > MAX_NAME ? `${text.slice(0, MAX_NAME)}…` : text;
}
