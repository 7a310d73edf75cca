/**
 * What a volume may be called. Docker's rule and texts: a name becomes a folder below `volumes/`, so this is also the
 * wall against `..`.
 */
import { HuskError } from '../errors.ts';
import { randomHex } from '../host/kernel/random.ts';

/** moby volume/local: RestrictedNamePattern */
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;
/** bytes, NAME_MAX of limits.h: it is a folder's name */
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

/** 64 hex digits, as Docker names what has no name */
export function anonymousName(): string {
  return randomHex(32);
}

function clip(text: string): string {
  return text.length > MAX_NAME ? `${text.slice(0, MAX_NAME)}…` : text;
}
