/**
 * Flags that parse, and commands that are known, but whose feature is not there yet. Each is refused in one line. An
 * issue that brings the feature deletes its line here.
 */
import { HuskError } from '../../errors.ts';
import type { FlagSet } from './flag-set.ts';

const NOT_YET: Record<string, string> = {
  'use-api-socket': 'the socket of the Engine API',
};

/** Docker's commands that later issues bring; their error differs from that of a typing mistake. */
export const COMMANDS_NOT_YET: ReadonlySet<string> = new Set();

/** Commands of Docker's plugin buildx that mean nothing here, with the reason. */
export const COMMANDS_REFUSED: Readonly<Record<string, string>> = {
  'buildx install': 'husk build is that builder already',
  'buildx uninstall': 'husk build is that builder',
};

/** @throws HuskError `unsupported` for the first flag given whose feature is missing */
export function refuseNotYet(flags: FlagSet): void {
  for (const [name, feature] of Object.entries(NOT_YET)) {
    if (!flags.has(name) || !flags.changed(name)) continue;
    throw new HuskError(`--${name}: ${feature} is not there yet in this husk`, {
      kind: 'unsupported',
      exitCode: 125,
      fix: `leave --${name} out`,
    });
  }
}
