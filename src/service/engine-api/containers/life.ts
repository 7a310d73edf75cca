/** What changes a container's life: start, stop, restart, kill, pause, unpause, rename, resize. */
import type { Container, Engine } from '../../../engine/contract.ts';
import { HuskError } from '../../../errors.ts';
import type { Answer, Call, Handler } from '../../http/contract.ts';
import { readSize } from './terminal-size.ts';
import { SharedAttachment, wantedByAny } from './streams/shared-attachment.ts';
import { waitingAttaches } from './streams/waiting.ts';

const DONE: Answer = { kind: 'empty', status: 204 };
/** what was asked for is so already */
const SO_ALREADY: Answer = { kind: 'empty', status: 304 };

const named = ({ parameters }: Call): string => parameters['name']!;
const runs = ({ state }: Container): boolean => ['running', 'restarting'].includes(state.status);

export const start: Handler = async (call, engine) => {
  const container = engine.get(named(call));
  if (runs(container)) return SO_ALREADY;
  await startWith(engine, container);
  return DONE;
};

/** Those who wait for it see its first byte; when it cannot be started there is nothing for them to see. */
async function startWith(engine: Engine, container: Container): Promise<void> {
  const { id, config } = container;
  const { consoleSize } = config.options;
  const { clients, places } = waitingAttaches(engine).take(id);
  try {
    if (clients.length === 0) return void (await engine.start(id, { consoleSize }));
    const attach = { ...wantedByAny(clients), awaited: places.map(({ token }) => token) };
    const attachment = await engine.start(id, { attach, consoleSize });
    for (const place of places) place.taken();
    const stdinOnce = config.options.stdinOnce ?? false;
    void new SharedAttachment(attachment!, clients, { stdinOnce }).run();
  } catch (error) {
    for (const client of clients) client.finish();
    throw error;
  }
}

export const stop: Handler = async (call, engine) => {
  const container = engine.get(named(call));
  if (!runs(container) && container.state.status !== 'paused') return SO_ALREADY;
  await engine.stop(container.id, grace(call));
  return DONE;
};

export const restart: Handler = async (call, engine) => {
  await engine.restart(engine.get(named(call)).id, grace(call));
  return DONE;
};

/** @returns seconds and the signal, where the client says them */
function grace({ query }: Call): { timeout?: number; signal?: string } {
  return { timeout: query.integer('t'), signal: query.text('signal') };
}

export const kill: Handler = async (call, engine) => {
  engine.get(named(call));
  try {
    await engine.kill(named(call), call.query.text('signal') ?? 'KILL');
  } catch (error) {
    if (!(error instanceof HuskError) || error.kind !== 'invalid') throw error;
    throw new HuskError(`cannot kill container: ${named(call)}: ${error.message}`, { kind: 'invalid', cause: error });
  }
  return DONE;
};

export const pause: Handler = async (call, engine) => {
  await engine.pause(named(call));
  return DONE;
};

export const unpause: Handler = async (call, engine) => {
  const container = engine.get(named(call));
  // Docker's status here is that of a failure, and clients know it by it.
  if (container.state.status !== 'paused')
    return { kind: 'json', status: 500, value: { message: `Container ${container.id} is not paused` } };
  await engine.unpause(container.id);
  return DONE;
};

export const rename: Handler = (call, engine) => {
  const name = call.query.text('name');
  engine.get(named(call));
  if (name === undefined) throw new HuskError('Neither old nor new names may be empty', { kind: 'invalid' });
  engine.rename(named(call), name);
  return DONE;
};

export const resize: Handler = async (call, engine) => {
  await engine.resize(named(call), readSize(call));
  return { kind: 'empty', status: 200 };
};
