/**
 * A container's files, whether it runs or not, in either isolation: asked of its supervisor, or of one that is started
 * for them alone and starts nothing of the container. What the answers say is answer.ts' to check.
 */
import { existsSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { EXIT_HUSK_FAILED, HuskError, TemplateFailed } from '../../errors.ts';
import { after } from '../../long-timer.ts';
import type { FilesHeader, FilesRequest, PathStat } from '../../sandbox.ts';
import type { SupervisorClient } from '../../supervisor/client.ts';
import type { Task } from '../../supervisor/protocol/protocol.ts';
import type { Container } from '../contract.ts';
import { makeTask, refuseTemplate } from '../life/start.ts';
import type { EngineContext } from '../record/context.ts';
import { NOT_YET, untilFound } from '../record/record-changes.ts';
import { connect, isRunning, joinFiles, reread } from '../record/supervisor-link.ts';
import { checkHeader, firstLine, readChanges, type Change } from './answer.ts';

/** ms until a container that has just ended is asked again */
const AGAIN_MS = 20;

/** A connection to whoever has the container's files. */
interface Opened {
  client: SupervisorClient;
  /** Does the container run? It may end at any moment then. */
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

  async changes(): Promise<Change[]> {
    return readChanges((await this.#ask({ op: 'changes' })).rest);
  }

  async #ask(request: FilesRequest, input?: Readable): Promise<{ header: FilesHeader; rest: Readable }> {
    for (;;) {
      const { client, running } = this.#opened;
      try {
        const output = client.files(request, input);
        // an answer that nobody goes on to read breaks when it is closed; a reader hears of its errors all the same
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
async function openStopped(
  context: EngineContext,
  container: Container,
  { coldBoot = false } = {},
): Promise<SupervisorClient | undefined> {
  const made = await filesTask(context, container, { coldBoot });
  // a VM's supervisor is born in its jail: what it must see is known first
  const jailed = container.config.isolation === 'vm' ? await context.jailedSupervisor(made) : undefined;
  const client = jailed?.client ?? context.supervisor();
  try {
    await client.request({ type: 'open', task: jailed?.task ?? made });
    return client;
  } catch (error) {
    client[Symbol.dispose]();
    if (error instanceof TemplateFailed) {
      await refuseTemplate(context, jailed?.task ?? made, { why: error.message });
      return openStopped(context, container, { coldBoot: true });
    }
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
 * The task is that of a start, without what only a process would need: other containers' namespaces, a way out. A
 * folder that is gone is not mounted.
 */
async function filesTask(
  context: EngineContext,
  container: Container,
  { coldBoot }: { coldBoot: boolean },
): Promise<Task> {
  const { config } = container;
  const options = {
    ...config.options,
    network: 'none',
    networks: undefined,
    ipc: undefined,
    pid: undefined,
    uts: undefined,
  };
  const task = await makeTask(context, { ...container, config: { ...config, options } }, { offline: true, coldBoot });
  const mounts = task.spec.mounts.filter(({ source }) => !source?.startsWith('/') || existsSync(source));
  return { ...task, spec: { ...task.spec, mounts }, autoRemove: false, mounts: [] };
}

/** Opens a container's files, asks them, and closes them. */
export async function withFiles<T>(
  context: EngineContext,
  container: Container,
  ask: (files: ContainerFiles) => Promise<T>,
): Promise<T> {
  using files = await openFiles(context, container);
  return await ask(files);
}

/** Does what `withFiles` does for an answer that goes on: the files are closed at its end. */
export async function streaming<T extends { tar: Readable }>(
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

async function drain(stream: Readable): Promise<void> {
  for await (const _ of stream);
}
