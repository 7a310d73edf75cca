/**
 * `GET /containers/X/stats`: what a container uses, once or every second. A client counts with two samples, so that
 * each answer has the one before it as well; one that does not run has zeros, and status 200.
 */
import type { Engine } from '../../../engine/contract.ts';
import { HuskError } from '../../../errors.ts';
import { after } from '../../../long-timer.ts';
import type { Answer, Handler } from '../../http/contract.ts';
import { shown, type Reading } from './stats-shape.ts';

/** ms between two samples, as in Docker's daemon */
const PERIOD = 1000;

export const stats: Handler = async ({ parameters, query, signal }, engine): Promise<Answer> => {
  const { id } = engine.get(parameters['name']!);
  if (query.boolean('stream', true)) return { kind: 'lines', lines: stream(engine, id, signal) };
  if (query.boolean('one-shot')) return once(engine, id, undefined);
  const before = await sample(engine, id);
  if (before) await after(PERIOD);
  return once(engine, id, before);
};

async function once(engine: Engine, id: string, before: Reading | undefined): Promise<Answer> {
  return { kind: 'json', status: 200, value: shown(engine.get(id), await sample(engine, id), before) };
}

/** Until the client goes, or the container does; the first one has nothing before it. */
async function* stream(engine: Engine, id: string, signal: AbortSignal): AsyncGenerator<object> {
  let before: Reading | undefined;
  while (!signal.aborted) {
    const now = await sample(engine, id);
    const container = find(engine, id);
    if (!container) return;
    yield shown(container, now, before);
    before = now;
    await after(PERIOD);
  }
}

/** @returns undefined for one that does not run */
async function sample(engine: Engine, id: string): Promise<Reading | undefined> {
  try {
    return { sample: await engine.stats(id), at: new Date() };
  } catch (error) {
    if (error instanceof HuskError && (error.kind === 'conflict' || error.kind === 'not-found')) return undefined;
    throw error;
  }
}

function find(engine: Engine, id: string) {
  try {
    return engine.get(id);
  } catch (error) {
    if (error instanceof HuskError && error.kind === 'not-found') return undefined;
    throw error;
  }
}
