/** `exec`: one more process in a running container. */
import { readFileSync } from 'node:fs';
import type { Spec } from '../../spec.ts';
import { causeOf, HuskError } from '../../errors.ts';
import { randomHex } from '../../host/kernel/random.ts';
import { attachment } from './attachment.ts';
import type { EngineContext } from '../record/context.ts';
import type { Attachment, Container, ExecOptions } from '../contract.ts';
import { connect, isRunning, notRunning } from '../record/supervisor-link.ts';
import { recordEvent } from '../record/events.ts';
import { buildExec } from '../create/spec/build.ts';
import { resolve } from '../record/reconcile.ts';

export async function exec(
  context: EngineContext,
  reference: string,
  options: ExecOptions,
): Promise<Attachment | undefined> {
  const container = resolve(context, reference);
  if (!isRunning(container)) throw notRunning(container);
  if (container.state.status === 'paused')
    throw new HuskError(`Container ${reference} is paused, unpause the container before exec`, { kind: 'conflict' });
  if (container.state.status === 'restarting')
    throw new HuskError(`Container ${container.id} is restarting, wait until the container is running`, {
      kind: 'conflict',
    });
  const process = buildExec(container.config, readSpec(context, container), options);
  const client = await connect(context, container);
  if (!client) throw notRunning(container);
  const id = randomHex(32);
  recordEvent(context, container, `exec_create: ${options.command.join(' ')}`, { execID: id });
  try {
    const stdin = options.interactive && !options.detach;
    const { streams } = await client.open(
      {
        type: 'exec',
        id,
        process,
        stdin,
        terminal: options.tty,
        detach: options.detach,
        columns: options.consoleSize?.columns,
        rows: options.consoleSize?.rows,
      },
      { stdin },
    );
    if (!options.detach) return attachment(context, container, streams, id);
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
