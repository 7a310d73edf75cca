/**
 * Runs a program of the host's and waits for it as a whole: its input is given at once, its output and its time are
 * bounded, and what ends husk ends it. Never through a shell.
 *
 * Not for what a container's start spawns: execa costs more to load than those programs to run (docs/dependencies.md).
 */
import { createRequire } from 'node:module';

export interface ProgramOptions {
  /** @default this process's own */
  env?: NodeJS.ProcessEnv;
  input?: string;
  /** ms; SIGTERM then, and SIGKILL for what is still there 5 s later */
  timeout?: number;
  /** characters of each output; a program that writes more is ended */
  maxOutput: number;
  signal?: AbortSignal;
}

export interface ProgramOutcome {
  stdout: string;
  stderr: string;
  /** absent: it did not start, or a signal ended it */
  exitCode?: number;
  /** errno(3) by name of a program that could not be started */
  code?: string;
  /** what its end was brought about by, from here */
  ended?: 'by timeout' | 'by output';
}

let execa: typeof import('execa').execa | undefined;

/** @throws only the signal's reason */
export async function runProgram(
  program: string,
  programArguments: readonly string[],
  { env, input, timeout, maxOutput, signal }: ProgramOptions,
): Promise<ProgramOutcome> {
  // required here, on first use: most commands run no program of the host's, and the library costs 10 ms
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
  // a program that was killed may have left one behind that keeps its output open: nobody waits for that one
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
