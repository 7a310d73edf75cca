/**
 * A container's files, whether it runs or not, in either isolation: asked of its supervisor, or of one that is started
 * for them alone and starts nothing of the container. What comes back is the container's word: the header is checked
 * field by field, listings are bounded, archives are only passed on.
 */
import { existsSync } from 'node:fs';
import { Readable } from 'node:stream';
import { EXIT_HUSK_FAILED, HuskError } from '../../errors.ts';
import { after } from '../../long-timer.ts';
import type { FilesHeader, FilesRequest, PathStat } from '../../sandbox.ts';
import type { SupervisorClient } from '../../supervisor/client.ts';
import type { Task } from '../../supervisor/protocol/protocol.ts';
import type { EngineContext } from '../record/context.ts';
import type { Container, ExtractOptions } from '../contract.ts';
import { connect, isRunning, joinFiles, reread } from '../record/supervisor-link.ts';
import { recordEvent } from '../record/events.ts';
import { NOT_YET, untilFound } from '../record/record-changes.ts';
import { makeTask } from '../life/start.ts';
import { resolve } from '../record/reconcile.ts';

/** bytes of an answer's first line: two paths and a few numbers */
const MAX_HEADER = 64 << 10;
/** what a listing of changes may have: bytes, and one path of each */
const MAX_CHANGES = 64 << 20;
const MAX_CHANGE = 8192;
/** ms until a container that has just ended is asked again */
const AGAIN_MS = 20;

/** A connection to whoever has the container's files. */
interface Opened {
  client: SupervisorClient;
  /** of a running container, which may end at any moment */
  running: boolean;
}

/** An open container; one request after another. */
export class ContainerFiles implements Disposable {
  #opened: Opened;
  readonly #again: () => Promise<Opened>;

  /** @param again opens it anew when the container has ended */
  constructor(opened: Opened, again: () => Promise<Opened>) {
    this.#opened = opened;
    this.#again = again;
  }

  async stat(path: string): Promise<PathStat> {
    const { header, rest } = await this.#ask({ op: 'stat', path });
    await drain(rest);
    return header.stat!;
  }

  /** @param options.name the archive's topmost member */
  async archive(
    path: string,
    options: { follow?: boolean; name?: string } = {},
  ): Promise<{ stat: PathStat; tar: Readable }> {
    const { header, rest } = await this.#ask({ op: 'archive', path, ...options });
    return { stat: header.stat!, tar: rest };
  }

  async extract(path: string, tar: Readable, options: { replaceKinds?: boolean; user?: string } = {}): Promise<void> {
    const { rest } = await this.#ask({ op: 'extract', path, ...options }, tar);
    await drain(rest);
  }

  async export(): Promise<Readable> {
    return (await this.#ask({ op: 'export' })).rest;
  }

  async layer(): Promise<Readable> {
    return (await this.#ask({ op: 'layer' })).rest;
  }

  async size(): Promise<number> {
    const { header, rest } = await this.#ask({ op: 'size' });
    await drain(rest);
    return header.size ?? 0;
  }

  async changes(): Promise<{ kind: 'A' | 'C' | 'D'; path: string }[]> {
    const { rest } = await this.#ask({ op: 'changes' });
    const found: { kind: 'A' | 'C' | 'D'; path: string }[] = [];
    let pending: Buffer = Buffer.alloc(0);
    let total = 0;
    for await (const chunk of rest as AsyncIterable<Buffer>) {
      total += chunk.length;
      if (total > MAX_CHANGES)
        throw new HuskError(`the container has more changes than fit into ${MAX_CHANGES} bytes`, { kind: 'limit' });
      pending = Buffer.concat([pending, chunk]);
      let start = 0;
      for (let end = pending.indexOf(0); end !== -1; end = pending.indexOf(0, start)) {
        found.push(changeOf(pending.toString('utf8', start, end)));
        start = end + 1;
      }
      pending = pending.subarray(start);
      if (pending.length > MAX_CHANGE) throw broken('a change without end');
    }
    return found.sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  async #ask(request: FilesRequest, input?: Readable): Promise<{ header: FilesHeader; rest: Readable }> {
    for (;;) {
      const { client, running } = this.#opened;
      try {
        const output = client.files(request, input);
        // one that nobody goes on to read breaks when it is closed; a reader hears of errors all the same
        output.on('error', () => {});
        return { header: checkHeader(await firstLine(output), request), rest: output };
      } catch (error) {
        if (input?.errored) throw input.errored;
        // it ended in between: its files are still there, and nothing has been sent
        const ended =
          running && error instanceof HuskError && (error.kind === 'unavailable' || error.kind === 'conflict');
        if (!ended || input?.readableDidRead || input?.destroyed) throw error;
        client[Symbol.dispose]();
        await after(AGAIN_MS);
        this.#opened = await this.#again();
      }
    }
  }

  [Symbol.dispose](): void {
    this.#opened.client[Symbol.dispose]();
  }
}

/**
 * Opens the files of a container; whoever starts or removes it meanwhile, or has them open while it does not run, is
 * waited for.
 */
export async function openFiles(context: EngineContext, container: Container): Promise<ContainerFiles> {
  return new ContainerFiles(await reach(context, container), () =>
    reach(context, reread(context, container.id) ?? container),
  );
}

async function reach(context: EngineContext, container: Container): Promise<Opened> {
  let known: Container | undefined = container;
  return untilFound(context, async () => {
    const current = known ?? reread(context, container.id);
    known = undefined;
    if (!current || current.state.status === 'removing')
      throw new HuskError(`No such container: ${container.id}`, { kind: 'not-found' });
    if (current.state.status === 'restarting')
      throw new HuskError(`Container ${current.id} is restarting, wait until the container is running`, {
        kind: 'conflict',
      });
    const running = isRunning(current);
    const client = running
      ? await connect(context, current)
      : current.state.claim
        ? await joinFiles(context, current)
        : await openStopped(context, current);
    return client ? { client, running } : NOT_YET;
  });
}

/** @returns undefined when somebody else was faster */
async function openStopped(context: EngineContext, container: Container): Promise<SupervisorClient | undefined> {
  const made = await filesTask(context, container);
  // a VM's supervisor is born in its jail: what it must see is known first
  const jailed = container.config.isolation === 'vm' ? await context.jailedSupervisor(made) : undefined;
  const client = jailed?.client ?? context.supervisor();
  try {
    await client.request({ type: 'open', task: jailed?.task ?? made });
    return client;
  } catch (error) {
    client[Symbol.dispose]();
    if (error instanceof HuskError && error.kind === 'conflict') return undefined;
    if (error instanceof HuskError && error.kind === 'unavailable')
      throw new HuskError(`the supervisor of ${container.id} ended while it opened the container's files`, {
        kind: 'internal',
        exitCode: EXIT_HUSK_FAILED,
        fix: `see ${context.paths.container(container.id)}/supervisor.log`,
        cause: error,
      });
    throw error;
  }
}

/**
 * As for a start, without what a process would need: other containers' namespaces, a way out. A folder that is gone is
 * not mounted.
 */
async function filesTask(context: EngineContext, container: Container): Promise<Task> {
  const { config } = container;
  const options = { ...config.options, network: 'none', ipc: undefined, pid: undefined, uts: undefined };
  const task = await makeTask(context, { ...container, config: { ...config, options } });
  const mounts = task.spec.mounts.filter(({ source }) => !source?.startsWith('/') || existsSync(source));
  return { ...task, spec: { ...task.spec, mounts }, autoRemove: false, mounts: [] };
}

/** Opens, asks, closes. */
export async function withFiles<T>(
  context: EngineContext,
  container: Container,
  ask: (files: ContainerFiles) => Promise<T>,
): Promise<T> {
  using files = await openFiles(context, container);
  return await ask(files);
}

/** As withFiles, for an answer that goes on: closed at its end. */
async function streaming<T extends { tar: Readable }>(
  context: EngineContext,
  container: Container,
  ask: (files: ContainerFiles) => Promise<T>,
): Promise<T> {
  const files = await openFiles(context, container);
  try {
    const answer = await ask(files);
    answer.tar.once('close', () => files[Symbol.dispose]());
    return answer;
  } catch (error) {
    files[Symbol.dispose]();
    throw error;
  }
}

export async function statPath(context: EngineContext, reference: string, path: string): Promise<PathStat> {
  const container = resolve(context, reference);
  return named(reference, path, () => withFiles(context, container, (files) => files.stat(path)));
}

export async function archive(
  context: EngineContext,
  reference: string,
  path: string,
): Promise<{ stat: PathStat; tar: Readable }> {
  const container = resolve(context, reference);
  const answer = await named(reference, path, () => streaming(context, container, (files) => files.archive(path)));
  recordEvent(context, container, 'archive-path');
  return answer;
}

export async function extract(
  context: EngineContext,
  reference: string,
  path: string,
  tar: Readable,
  options: ExtractOptions = {},
): Promise<void> {
  const container = resolve(context, reference);
  const { decompress } = await import('../../images/layers/decompress.ts');
  const plain = Readable.from(decompress(tar, { programs: true }), { objectMode: false });
  const { user } = container.config;
  const asked = { replaceKinds: options.replaceKinds, ...(options.containerUser && user !== '' && { user }) };
  try {
    await named(reference, path, () => withFiles(context, container, (files) => files.extract(path, plain, asked)));
  } catch (error) {
    // nobody takes the rest: whoever writes it must not be waited for
    tar.destroy();
    throw error;
  }
  recordEvent(context, container, 'extract-to-dir');
}

export async function exportContainer(context: EngineContext, reference: string): Promise<Readable> {
  const container = resolve(context, reference);
  const { tar } = await streaming(context, container, async (files) => ({ tar: await files.export() }));
  recordEvent(context, container, 'export');
  return tar;
}

export async function changes(
  context: EngineContext,
  reference: string,
): Promise<{ kind: 'A' | 'C' | 'D'; path: string }[]> {
  const container = resolve(context, reference);
  return withFiles(context, container, (files) => files.changes());
}

/**
 * Docker's client ends these commands with 1 whatever failed, in its daemon or beneath it; 125 is `run`'s own word for
 * "no container ran". (docker/cli cmd/docker: an error without a status code of its own.)
 */
export async function endingWithOne<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof HuskError && error.exitCode === EXIT_HUSK_FAILED ? error.withExitCode(1) : error;
  }
}

/** Docker's text for a path that is not there, whoever noticed. */
export async function named<T>(container: string, path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof HuskError && error.kind === 'not-found' && !error.message.startsWith('No such container'))
      throw new HuskError(`Could not find the file ${path} in container ${container}`, {
        kind: 'not-found',
        cause: error,
      });
    throw error;
  }
}

async function drain(stream: Readable): Promise<void> {
  for await (const _ of stream);
}

const broken = (what: string) =>
  new HuskError(`the container's answer about its files is broken: ${what}`, { kind: 'corrupt' });

/** Takes the first line off a stream, which then goes on behind it. */
function firstLine(stream: Readable): Promise<string> {
  return new Promise((resolveLine, reject) => {
    let head: Buffer = Buffer.alloc(0);
    const done = () => {
      stream.off('readable', read);
      stream.off('error', fail);
      stream.off('end', early);
      stream.off('close', early);
    };
    const fail = (error: Error) => {
      done();
      reject(error);
    };
    const early = () => fail(stream.errored ?? broken('it ended before it began'));
    const read = () => {
      for (let chunk = stream.read() as Buffer | null; chunk; chunk = stream.read() as Buffer | null) {
        head = Buffer.concat([head, chunk]);
        const end = head.indexOf(0x0a);
        if (end === -1 && head.length <= MAX_HEADER) continue;
        done();
        if (end === -1) {
          stream.destroy();
          return reject(broken(`its first line is longer than ${MAX_HEADER} bytes`));
        }
        if (head.length > end + 1) stream.unshift(head.subarray(end + 1));
        return resolveLine(head.toString('utf8', 0, end));
      }
    };
    if (stream.destroyed) return early();
    stream.on('readable', read).once('error', fail).once('end', early).once('close', early);
  });
}

function checkHeader(line: string, { op }: FilesRequest): FilesHeader {
  let value: { stat?: Record<string, unknown>; size?: unknown } | null;
  try {
    value = JSON.parse(line) as typeof value;
  } catch (error) {
    throw new HuskError("the container's answer about its files is broken: its first line is not JSON", {
      kind: 'corrupt',
      cause: error,
    });
  }
  const index = (number: unknown, what: string): number => {
    if (!Number.isSafeInteger(number) || (number as number) < 0) throw broken(`${what} is no number`);
    return number as number;
  };
  if (op === 'size') return { size: index(value?.size, 'the size') };
  if (op !== 'stat' && op !== 'archive') return {};
  const stat = value?.stat;
  if (
    typeof stat !== 'object' ||
    stat === null ||
    typeof stat['name'] !== 'string' ||
    typeof stat['linkTarget'] !== 'string' ||
    !Number.isSafeInteger(stat['mtime'])
  )
    throw broken('there is no stat');
  return {
    stat: {
      name: stat['name'],
      size: index(stat['size'], 'a size'),
      mode: index(stat['mode'], 'a mode') & 0o177777,
      mtime: stat['mtime'] as number,
      mtimeNanoseconds: index(stat['mtimeNanoseconds'], 'a time') % 1e9,
      linkTarget: stat['linkTarget'],
    },
  };
}

function changeOf(text: string): { kind: 'A' | 'C' | 'D'; path: string } {
  const kind = text[0];
  if ((kind !== 'A' && kind !== 'C' && kind !== 'D') || text[1] !== '/') throw broken('a change of no kind');
  return { kind, path: text.slice(1) };
}
