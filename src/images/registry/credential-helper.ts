/**
 * Runs a docker-credential-* program: one action, its input on stdin, its answer on stdout. The input is never shown.
 *
 * Source: docker/docker-credential-helpers protocol.
 */
import { HuskError } from '../../errors.ts';
import { runProgram, type ProgramOutcome } from '../../run-program.ts';

/** limit of characters that a helper prints */
const MAX_OUTPUT = 64 << 10;
/** ms that a helper may take */
const TIMEOUT = 30_000;
/** limit of characters of a helper's complaint that are shown */
const MAX_COMPLAINT = 200;

export interface HelperRun {
  action: 'get' | 'store' | 'erase';
  /** the server's name, or JSON with a secret */
  input: string;
  env: NodeJS.ProcessEnv;
  signal?: AbortSignal;
}

export interface HelperAnswer extends ProgramOutcome {
  /** @returns the error of this helper with a cause, and what to look at */
  refuse: (cause: string) => HuskError;
}

/** @param what what the helper does, for errors: `get credentials for ghcr.io from` */
export async function runHelper(helper: string, what: string, run: HelperRun): Promise<HelperAnswer> {
  const { action, input, env, signal } = run;
  const program = `docker-credential-${helper}`;
  const refuse = (cause: string) =>
    new HuskError(`cannot ${what} ${program}: ${cause}`, {
      kind: 'unauthorized',
      fix: "see credsStore and credHelpers in Docker's config.json",
    });
  // A slash in the name would run a program outside PATH.
  if (!/^[\w.-]+$/.test(helper)) throw refuse('not a program name');
  const outcome = await runProgram(program, [action], { env, input, timeout: TIMEOUT, maxOutput: MAX_OUTPUT, signal });
  return { ...outcome, refuse };
}

/** @returns why a helper failed, in its own words where it has some; undefined when it did not fail */
export function helperComplaint({ stdout, exitCode, code, ended }: HelperAnswer, secret = ''): string | undefined {
  if (exitCode === 0 && ended === undefined) return undefined;
  if (code === 'ENOENT') return 'it is not installed';
  if (code === 'EACCES') return 'it is not installed, or may not be executed';
  if (ended !== undefined) return 'it does not answer';
  const said = secret === '' ? stdout : stdout.replaceAll(secret, '');
  return said.trim().slice(0, MAX_COMPLAINT) || `it fails with status ${code ?? exitCode ?? null}`;
}
