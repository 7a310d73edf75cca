/**
 * `exec`: one more process in a running container. It is made first, as a row, and started once, by this process or
 * another; its container's supervisor runs it and writes what becomes of it (src/supervisor/life/execs.ts).
 */
import { readFileSync } from 'node:fs';
import { causeOf, HuskError } from '../../errors.ts';
import { randomHex } from '../../host/kernel/random.ts';
import type { ProcessSpec, Spec } from '../../spec.ts';
import { transaction } from '../../state/database.ts';
import { ExecStore } from '../../state/execs.ts';
import type { SupervisorClient } from '../../supervisor/client.ts';
import { startedBefore } from '../../supervisor/life/exec-errors.ts';
import { buildExec } from '../create/spec/build.ts';
import type { Attachment, Container, Engine, ExecOptions } from '../contract.ts';
import type { EngineContext } from '../record/context.ts';
import { recordEvent } from '../record/events.ts';
import { findExec } from '../record/exec-rows.ts';
import { NOT_YET, untilFound } from '../record/record-changes.ts';
import { resolve } from '../record/reconcile.ts';
import { ask, connect, isRunning, notRunning } from '../record/supervisor-link.ts';
import { attachment } from './attachment.ts';

type StartOptions = Parameters<Engine['execStart']>[1];

/** ms that a new size waits for the command to be started; as Docker's (moby daemon/resize.go) */
const RESIZE_PATIENCE_MS = 10_000;

export async function exec(
  context: EngineContext,
  reference: string,
  options: ExecOptions,
): Promise<Attachment | undefined> {
  const container = active(context, reference);
  // what can be known to be wrong leaves no row
  const process = buildExec(container.config, readSpec(context, container), options);
  const client = await connect(context, container);
  if (!client) throw notRunning(container);
  let id: string;
  try {
    id = insert(context, container, options);
  } catch (error) {
    client[Symbol.dispose]();
    throw error;
  }
  return begin(context, container, { client, id, process, options });
}

export async function execCreate(context: EngineContext, reference: string, options: ExecOptions): Promise<string> {
  if (options.command.length === 0) throw new HuskError('No exec command specified', { kind: 'invalid' });
  return insert(context, active(context, reference), options);
}

export async function execStart(
  context: EngineContext,
  id: string,
  { detach, consoleSize }: StartOptions,
): Promise<Attachment | undefined> {
  const row = findExec(context, id);
  const container = active(context, row.container);
  // the supervisor looks again: of two starts at once, it is the one that knows
  if (row.status !== 'created') throw startedBefore(id, row.status);
  const options = { ...row.options, detach, consoleSize: consoleSize ?? row.options.consoleSize };
  const process = buildExec(container.config, readSpec(context, container), options);
  const client = await connect(context, container);
  if (!client) throw notRunning(container);
  return begin(context, container, { client, id, process, options });
}

export async function execResize(
  context: EngineContext,
  id: string,
  { columns, rows }: { columns: number; rows: number },
): Promise<void> {
  const container = active(context, findExec(context, id).container);
  await untilStarted(context, id);
  const answer = await ask(context, container, { type: 'resize', columns, rows, exec: id });
  if (!answer) throw notRunning(container);
}

async function untilStarted(context: EngineContext, id: string): Promise<void> {
  const signal = AbortSignal.timeout(RESIZE_PATIENCE_MS);
  try {
    await untilFound(context, () => (findExec(context, id).status === 'created' ? NOT_YET : undefined), { signal });
  } catch (error) {
    if (error instanceof HuskError) throw error;
    throw new HuskError('timeout waiting for exec session ready', { kind: 'unavailable', cause: error });
  }
}

/** @throws HuskError `conflict`, with Docker's texts, when nothing can be executed in it */
function active(context: EngineContext, reference: string): Container {
  const container = resolve(context, reference);
  if (!isRunning(container)) throw notRunning(container);
  if (container.state.status === 'paused')
    throw new HuskError(`Container ${reference} is paused, unpause the container before exec`, { kind: 'conflict' });
  if (container.state.status === 'restarting')
    throw new HuskError(`Container ${container.id} is restarting, wait until the container is running`, {
      kind: 'conflict',
    });
  return container;
}

/** @returns its id */
function insert(context: EngineContext, container: Container, options: ExecOptions): string {
  const id = randomHex(32);
  const isMade = transaction(context.database, () => {
    if (!new ExecStore<ExecOptions>(context.database).insert({ id, container: container.id, options })) return false;
    recordEvent(context, container, `exec_create: ${options.command.join(' ')}`, { execID: id });
    return true;
  });
  // it has ended, or was paused, since it was looked at
  if (!isMade) throw notRunning(active(context, container.id));
  return id;
}

/** The client is used up, whatever happens. */
async function begin(
  context: EngineContext,
  container: Container,
  {
    client,
    id,
    process,
    options,
  }: { client: SupervisorClient; id: string; process: ProcessSpec; options: ExecOptions },
): Promise<Attachment | undefined> {
  const { detach, tty: terminal, attach } = options;
  const stdin = options.interactive && !detach;
  const size = terminal ? options.consoleSize : undefined;
  try {
    const { streams } = await client.open(
      { type: 'exec', id, process, stdin, terminal, detach, attach, columns: size?.columns, rows: size?.rows },
      { stdin },
    );
    if (!detach) return attachment(context, container, streams, id);
  } catch (error) {
    client[Symbol.dispose]();
    throw error;
  }
  client[Symbol.dispose]();
  return undefined;
}

/** What the container was started with: exec inherits its capabilities, limits and folder. */
function readSpec(context: EngineContext, container: Container): Spec {
  const file = specFile(context, container.id);
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Spec;
  } catch (error) {
    throw new HuskError(`cannot read what container ${container.id} was started with: ${file}: ${causeOf(error)}`, {
      kind: 'corrupt',
      fix: `husk restart ${container.name} writes it anew`,
      cause: error,
    });
  }
}

/** containers/<id>/config.json, the OCI bundle's name for it */
export function specFile(context: Pick<EngineContext, 'paths'>, id: string): string {
  return `${context.paths.container(id)}/config.json`;
}
