/** `husk build` */
import { readFileSync, rmSync } from 'node:fs';
import { Readable } from 'node:stream';
import { causeOf, EXIT_HUSK_FAILED, HuskError, refusal, systemError } from '../../errors.ts';
import type { BuildOptions, BuildResult } from '../../engine/build-contract.ts';
import { BuildFailed } from '../../engine/build/failure.ts';
import { writtenContext } from '../../engine/build-contexts.ts';
import { writeWholeFile } from '../../whole-file.ts';
import { buildCall, type BuildCall } from '../build-call.ts';
import { cacheSources, cacheTargets } from '../build-caches.ts';
import { buildOutputs } from '../build-outputs.ts';
import { asWritten, buildOptions, type FlagOptions } from '../build-options.ts';
import type { Context, Invocation } from '../grammar/command.ts';
import type { FlagSet } from '../grammar/flag-set.ts';
import { assertWritable } from '../output/archive-output.ts';
import {
  checkJson,
  failedCheckJson,
  outlineJson,
  outlineText,
  targetsJson,
  targetsText,
} from '../output/build-call.ts';
import { checkReport, failureText, warningsText } from '../output/build-failure.ts';
import { LastLines, NO_PROGRESS, PlainProgress, RawProgress, type BuildDisplay } from '../output/build-progress.ts';
import { TerminalProgress } from '../output/build-terminal.ts';
import { printable } from '../output/printable.ts';
import { Silent } from '../silent.ts';
import { interruptions } from '../build-interrupt.ts';

/** bytes of a Dockerfile from STDIN */
const MAX_DOCKERFILE = 16 << 20;
/** lines about the build that are told after it */
const MAX_NOTES = 1000;
/** mode of files with an image's id: whoever may look may know it */
const FILE_MODE = 0o644;

export async function run({ flags, arguments: [path = ''], context }: Invocation): Promise<number> {
  const options = buildOptions(flags, context);
  const call = buildCall(flags);
  const outputs = buildOutputs(flags, context);
  const caches = { cacheFrom: cacheSources(flags.list('cache-from')), cacheTo: cacheTargets(flags.list('cache-to')) };
  const display = displayOf(flags, context);
  const source = await sourceOf(path, flags, context);
  const [iidfile, metadata] = [flags.optional('iidfile'), flags.optional('metadata-file')];
  for (const file of [iidfile, metadata]) if (file !== undefined) assertWritable(file);
  // A file of a build before must not be taken for this one's, however this one ends.
  if (iidfile !== undefined) rmSync(iidfile, { force: true });
  const engine = await context.engine();
  if (call.method !== 'build') return answer(call, engine, { ...options, ...source, outputs }, context);
  const result = await building(context, display, (hooks) =>
    engine.build({ ...options, ...source, ...caches, outputs }, hooks),
  );
  writeFiles(result, { iidfile, metadata });
  if (flags.bool('quiet') && result.id !== undefined) context.stdout.write(`${result.id}\n`);
  return 0;
}

/** Prints what the Dockerfile is asked for; nothing is built. @returns the exit code */
async function answer(
  { method, json, ignoreStatus }: BuildCall,
  engine: Awaited<ReturnType<Context['engine']>>,
  options: BuildOptions,
  context: Context,
): Promise<number> {
  const print = (text: string): void => void context.stdout.write(printable(text, context.stdout, { lines: true }));
  try {
    if (method === 'outline') {
      const outline = await engine.outlineBuild(options);
      print(json ? outlineJson(outline) : outlineText(outline));
      return 0;
    }
    if (method === 'targets') {
      const targets = await engine.buildTargets(options);
      print(json ? targetsJson(targets) : targetsText(targets));
      return 0;
    }
    const found = await engine.checkBuild(options);
    print(json ? checkJson(found) : checkReport(found));
    return found.warnings.length > 0 && !ignoreStatus ? 1 : 0;
  } catch (error) {
    if (method === 'check' && json && error instanceof BuildFailed && error.place)
      print(failedCheckJson(error.message, error.place));
    throw failure(error, context);
  }
}

const wrong = (message: string): HuskError => new HuskError(message, { kind: 'invalid', exitCode: EXIT_HUSK_FAILED });

function displayOf(flags: FlagSet, { stderr, env }: Pick<Context, 'stderr' | 'env'>): BuildDisplay {
  const form = flags.string('progress') || 'auto';
  if (!['auto', 'tty', 'plain', 'rawjson', 'quiet'].includes(form))
    throw wrong(`--progress: ${JSON.stringify(form)} is none of auto, tty, plain, rawjson, quiet`);
  if (flags.bool('quiet') || form === 'quiet') return NO_PROGRESS;
  if (form === 'rawjson') return new RawProgress(stderr);
  if (form === 'tty' && !stderr.isTTY) throw wrong('--progress=tty: STDERR is not a terminal');
  // A terminal that calls itself dumb moves no cursor.
  const isDrawn = form === 'tty' || (form === 'auto' && stderr.isTTY && env['TERM'] !== 'dumb');
  return isDrawn ? new TerminalProgress(stderr) : new PlainProgress(stderr);
}

/** Runs the build with its progress shown, and tells how it failed. */
async function building(
  context: Context,
  display: BuildDisplay,
  build: (hooks: NonNullable<Parameters<Awaited<ReturnType<Context['engine']>>['build']>[1]>) => Promise<BuildResult>,
): Promise<BuildResult> {
  const last = new LastLines();
  const notes: string[] = [];
  using interrupted = interruptions();
  const end = (): void => {
    display.end();
    for (const note of display === NO_PROGRESS ? [] : new Set(notes))
      context.stderr.write(printable(`WARNING: ${note}\n`, context.stderr, { lines: true }));
  };
  try {
    const result = await build({
      onEvent: (event) => {
        if (event.type === 'warning' && notes.length < MAX_NOTES) notes.push(event.text);
        last.add(event);
        display.show(event);
      },
      signal: interrupted.signal,
    });
    end();
    if (display !== NO_PROGRESS)
      context.stderr.write(printable(warningsText(result.warnings), context.stderr, { lines: true }));
    return result;
  } catch (error) {
    end();
    if (interrupted.exitCode !== undefined) {
      context.stderr.write('ERROR: the build was interrupted\n');
      throw new Silent(interrupted.exitCode);
    }
    throw failure(error, context, last);
  }
}

/** Tells why a build failed. @returns what ends husk, or the error where it is a fault of husk's */
function failure(error: unknown, context: Context, last?: LastLines): unknown {
  const known = error instanceof HuskError ? error : refusal(error);
  if (!known) return error;
  const step = known instanceof BuildFailed && known.step !== undefined ? last?.of(known.step) : undefined;
  context.stderr.write(printable(failureText(known, step), context.stderr, { lines: true }));
  return new Silent(1);
}

/** @throws HuskError for what is not there, before anything is done */
async function sourceOf(
  path: string,
  flags: FlagSet,
  context: Context,
): Promise<Pick<BuildOptions, 'context' | 'dockerfile'>> {
  const file = flags.optional('file');
  if (path !== '-') {
    const written = asWritten(() => writtenContext(path));
    if (file !== '-') return { context: written, ...(file !== undefined && { dockerfile: { path: file } }) };
    return { context: written, dockerfile: { bytes: await readAll(context.stdin) } };
  }
  if (file === '-') throw wrong('invalid argument: cannot use stdin for both build context and dockerfile');
  const [first, rest] = await peek(context.stdin);
  if (isArchive(first))
    return { context: { kind: 'tar', input: rest }, ...(file !== undefined && { dockerfile: { path: file } }) };
  return {
    context: { kind: 'none' },
    dockerfile: file === undefined ? { bytes: await readAll(rest) } : { bytes: readFileSync(file) },
  };
}

/** @returns the first bytes of a stream, and the whole of it */
async function peek(input: NodeJS.ReadableStream): Promise<[Buffer, Readable]> {
  const chunks: Buffer[] = [];
  let length = 0;
  const iterator = (input as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
  let ended = false;
  while (length < 512 && !ended) {
    const { value, done } = await iterator.next();
    if (done) ended = true;
    else {
      chunks.push(Buffer.from(value));
      length += value.length;
    }
  }
  const first = Buffer.concat(chunks);
  const whole = async function* (): AsyncGenerator<Buffer> {
    yield first;
    for (;;) {
      const { value, done } = await iterator.next();
      if (done) return;
      yield value;
    }
  };
  return [first, Readable.from(whole(), { objectMode: false })];
}

/** @returns whether bytes are a tar, or compressed as one may be; a Dockerfile begins with none of these */
function isArchive(first: Buffer): boolean {
  const marks = ['1f8b', '425a68', 'fd377a585a00', '28b52ffd'];
  return (
    first.subarray(257, 262).toString('latin1') === 'ustar' ||
    marks.some((mark) => first.subarray(0, mark.length / 2).toString('hex') === mark)
  );
}

async function readAll(input: NodeJS.ReadableStream): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of input as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_DOCKERFILE) throw wrong(`the Dockerfile from STDIN is larger than ${MAX_DOCKERFILE} bytes`);
    chunks.push(Buffer.from(chunk));
  }
  return Buffer.concat(chunks);
}

function writeFiles(
  { id, manifest, names }: BuildResult,
  { iidfile, metadata }: { iidfile: string | undefined; metadata: string | undefined },
): void {
  const write = (file: string, text: string): void => {
    try {
      writeWholeFile(file, Buffer.from(text), { mode: FILE_MODE });
    } catch (error) {
      throw new HuskError(`cannot write ${file}: ${systemError(error)?.text ?? causeOf(error)}`, {
        kind: 'invalid',
        cause: error,
      });
    }
  };
  if (iidfile !== undefined && id !== undefined) write(iidfile, id);
  if (metadata !== undefined)
    write(
      metadata,
      `${JSON.stringify(
        {
          // An index has no config.
          ...(id !== undefined && id !== manifest && { 'containerimage.config.digest': id }),
          ...(manifest !== undefined && { 'containerimage.digest': manifest }),
          ...(names.length > 0 && { 'image.name': names.join(',') }),
        },
        undefined,
        2,
      )}\n`,
    );
}

export type { FlagOptions };
