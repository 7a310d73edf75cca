/**
 * What a network may be called. Docker's rule for the things it names, and its words: a name is part of what DNS
 * answers to, and `container:NAME` is none.
 */
import { HuskError } from '../../errors.ts';

const PREDEFINED = ['bridge', 'host', 'none'];
/** `default` is bridge */
const RESERVED = [...PREDEFINED, 'default'];
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
const MAX_NAME = 255;

/** Those that every data root has. */
export const isPredefined = (name: string): boolean => PREDEFINED.includes(name);

/** @throws HuskError in Docker's words where it has any */
export function checkNetworkName(name: string): void {
  if (RESERVED.includes(name))
    // the blank at the end is Docker's
    throw new HuskError(`operation is not permitted on predefined ${name} network `, { kind: 'conflict' });
  if (name.trim() === '') throw new HuskError('network name cannot be empty', { kind: 'invalid' });
  if (!NAME.test(name) || name.length > MAX_NAME)
    throw new HuskError(
      `invalid network name ${JSON.stringify(name.slice(0, MAX_NAME))}: only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed, and ${MAX_NAME} characters`,
      { kind: 'invalid' },
    );
}
