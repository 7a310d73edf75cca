/**
 * Runs a program of the host and waits for its end: its input is given at once, its output and its time are bounded,
 * and it ends when husk does. No shell is involved.
 *
 * A container's start must not use this module: loading execa costs more than the programs that a start runs
 * (docs/dependencies.md).
 */
import { createRequire } from 'node:module';

export interface ProgramOptions {
  /** environment of the program. @default this process's own */
  env?: NodeJS.ProcessEnv;
  input?: string;
  /** ms; the program gets SIGTERM then, and SIGKILL when it still runs 5 s later */
  timeout?: number;
  /** limit of characters of each output; a program that writes more is ended */
  maxOutput: number;
  signal?: AbortSignal;
}

export interface ProgramOutcome {
  stdout: string;
  stderr: string;
  /** exit code; absent when the program did not start, or a signal ended it */
  exitCode?: number;
  /** name of the errno(3) of a program that could not be started */
  code?: string;
  /** which limit ended the program, if one did */
  ended?: 'by timeout' | 'by output';
}

let execa: typeof import('execa').execa | undefined;

/** @throws only the signal's reason */
export async function runProgram(
  program: string,
  programArguments: readonly string[],
  { env, input, timeout, maxOutput, signal }: ProgramOptions,
): Promise<ProgramOutcome> {
  // execa is loaded on first use: most commands run no program of the host, and loading it costs 10 ms.
  execa ??= (createRequire(import.meta.url)('execa') as typeof import('execa')).execa;
  const child = execa(program, programArguments, {
    ...(env && { env, extendEnv: false }),
    ...(input === undefined ? { stdin: 'ignore' as const } : { input }),
    timeout,
    maxBuffer: maxOutput,
    cancelSignal: signal,
    reject: false,
    stripFinalNewline: false,
  });
  // A program that was killed may have left a child that keeps its output open; the output is closed, so that the wait
  // ends without it.
  child.once('exit', (_code, killedBy) => {
    if (killedBy === null) return;
    child.stdout?.destroy();
    child.stderr?.destroy();
  });
  const result = await child;
  if (result.isCanceled) throw signal!.reason;
  return {
    stdout: result.stdout ?? '',
    stderr: result.stderr ?? '',
    exitCode: result.exitCode,
    code: result.code,
    ended: result.timedOut ? 'by timeout' : result.isMaxBuffer ? 'by output' : undefined,
  };
}
