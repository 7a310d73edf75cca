/**
 * Runs a plugin of Docker's client, the real program, over the Docker Engine API. The server is one that runs already,
 * or one of this process for as long as the plugin runs. No shell is involved.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { constants as system } from 'node:os';
import { join } from 'node:path';
import { causeOf, EXIT_NOT_FOUND, HuskError } from '../../errors.ts';
import { paths } from '../../paths.ts';
import { makeRuntimeFolder } from '../../runtime-folder.ts';
import type { Context } from '../grammar/command.ts';
import { findPlugin } from './find.ts';

export interface Plugin {
  /** the word behind husk: `compose` */
  name: string;
  /** `docker-compose` */
  program: string;
  /** of Debian */
  package: string;
  /** its arguments */
  words: readonly string[];
}

/** what would lead Docker's client elsewhere than DOCKER_HOST */
const OTHER_ENGINES = ['DOCKER_CONTEXT', 'DOCKER_TLS', 'DOCKER_TLS_VERIFY', 'DOCKER_CERT_PATH', 'DOCKER_API_VERSION'];
/** of a shell, for a program that a signal has ended */
const SIGNALLED = 128;

/** @returns the plugin's exit code @throws HuskError `unsupported`, exit code 127, where the plugin is not installed */
export async function runPlugin(plugin: Plugin, context: Context): Promise<number> {
  const program = findPlugin(plugin.program, context.env);
  if (program === undefined)
    throw new HuskError(`husk ${plugin.name} runs Docker's ${plugin.program}, which is not installed`, {
      kind: 'unsupported',
      exitCode: EXIT_NOT_FOUND,
      fix: `apt install ${plugin.package}, or put the program ${plugin.program} on PATH or in ~/.docker/cli-plugins`,
    });
  await using engine = await reachEngine(context);
  const env: NodeJS.ProcessEnv = { ...context.env, DOCKER_HOST: `unix://${engine.socket}` };
  for (const name of OTHER_ENGINES) delete env[name];
  return await inFront(program, plugin.words, env);
}

/** @returns a socket of a running server, or one of this process's own, in a folder of its own */
async function reachEngine(context: Context): Promise<{ socket: string } & AsyncDisposable> {
  const { defaultSocket, isServed } = await import('../../service/listen.ts');
  const { runtimeDir } = paths({ env: context.env });
  const shared = defaultSocket(runtimeDir);
  // A server of another data root has other containers.
  if (context.globals.dataRoot === undefined && (await isServed(shared)))
    return { socket: shared, async [Symbol.asyncDispose]() {} };
  makeRuntimeFolder(runtimeDir);
  const folder = mkdtempSync(join(runtimeDir, 'api-'));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    const { serve } = await import('../../service/serve.ts');
    const socket = join(folder, 'docker.sock');
    const serving = await serve({
      engine: await context.engine(),
      addresses: [{ kind: 'unix', path: socket }],
      onBug: (error) => void context.stderr.write(`husk: internal error, please report it: ${causeOf(error)}\n`),
    });
    return {
      socket,
      async [Symbol.asyncDispose]() {
        await serving.close();
        remove();
      },
    };
  } catch (error) {
    remove();
    throw error;
  }
}

/** Runs the program with this process's terminal and streams; signals are the program's to answer. */
async function inFront(program: string, words: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const child = spawn(program, words, { stdio: 'inherit', env });
  // A terminal sends these to both; the program decides what they mean.
  const both = ['SIGINT', 'SIGQUIT'] as const;
  const handed = ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'] as const;
  const ignore = (): void => {};
  const hand = (signal: NodeJS.Signals): void => void child.kill(signal);
  for (const signal of both) process.on(signal, ignore);
  for (const signal of handed) process.on(signal, hand);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once('error', (error) => reject(notStarted(program, error)));
      child.once('exit', (code, signal) => resolve(code ?? SIGNALLED + system.signals[signal!]));
    });
  } finally {
    for (const signal of both) process.off(signal, ignore);
    for (const signal of handed) process.off(signal, hand);
  }
}

const notStarted = (program: string, error: unknown): HuskError =>
  new HuskError(`cannot start ${program}: ${causeOf(error)}`, { kind: 'unsupported', exitCode: 126, cause: error });
