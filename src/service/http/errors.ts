/** What an error of the engine is in HTTP: Docker's `{"message": text}` with a status. */
import { HuskError, refusal, type ErrorKind } from '../../errors.ts';
import { MAX_MESSAGE } from './bounds.ts';
import type { PlainAnswer } from './contract.ts';

const STATUS: Readonly<Record<ErrorKind, number>> = {
  'not-found': 404,
  conflict: 409,
  invalid: 400,
  unsupported: 400,
  'start-failed': 400,
  unauthorized: 401,
  unavailable: 500,
  limit: 500,
  corrupt: 500,
  internal: 500,
};

/** @returns the error as users may see it; undefined for a bug of husk */
export function shownError(error: unknown): HuskError | undefined {
  return error instanceof HuskError ? error : refusal(error);
}

/** The message, and the fix after a blank line. */
function errorText(error: unknown): string {
  const shown = shownError(error);
  const text = shown ? [shown.message, shown.fix].filter((part) => part !== undefined).join('\n\n') : bugText(error);
  return text.slice(0, MAX_MESSAGE);
}

/** A bug's stack names files of this host, which stay here. */
const bugText = (error: unknown): string => `internal error: ${error instanceof Error ? error.message : String(error)}`;

function errorStatus(error: unknown): number {
  const shown = shownError(error);
  return shown ? STATUS[shown.kind] : 500;
}

/** @param status of an error whose kind has another one than Docker gives here: 403 for a network in use, 503 */
export function failure(error: unknown, status = errorStatus(error)): PlainAnswer {
  return { kind: 'json', status, value: { message: errorText(error) } };
}

/** The last line of a stream that has begun, whose status has gone already. */
export function failureLine(error: unknown): { errorDetail: { message: string }; error: string } {
  const message = errorText(error);
  return { errorDetail: { message }, error: message };
}
