/** Builds without BuildKit's protocol: `POST /build` in Docker's classic form, and the cache that builds leave. */
import { HuskError } from '../../errors.ts';
import type { BuildOptions } from '../../engine/build-contract.ts';
import { CommandFailed } from '../../engine/build/failure.ts';
import type { Engine } from '../../engine/contract.ts';
import type { CacheRow } from '../../images/store/contract.ts';
import { familiarReference, parseReference, withDefaultTag } from '../../images/store/reference.ts';
import { parseMomentMs } from '../../notation/moments.ts';
import { parseBool } from '../../notation/scalars.ts';
import type { Answer, Call, Route } from '../http/contract.ts';
import { LineQueue } from '../line-queue.ts';
import { ClassicLines, type BuildLine } from './build-lines.ts';
import { buildRequest } from './build-request.ts';

/** by engine: the builds that can be canceled by the id that their client gave them */
const running = new WeakMap<Engine, Map<string, AbortController>>();
const PRUNE_FILTERS = ['until', 'unused-for', 'id', 'parent', 'type', 'description', 'inuse', 'shared', 'private'];

function build(call: Call, engine: Engine): Answer {
  const options = buildRequest(call);
  const id = call.query.text('buildid');
  const canceled = new AbortController();
  const signal = AbortSignal.any([call.signal, canceled.signal]);
  const lines = call.query.boolean('q') ? quietly(engine, options, signal) : classicLines(engine, options, signal);
  return { kind: 'lines', lines: id === undefined ? lines : cancelable(lines, runningOf(engine), { id, canceled }) };
}

function runningOf(engine: Engine): Map<string, AbortController> {
  let found = running.get(engine);
  if (!found) running.set(engine, (found = new Map()));
  return found;
}

/** A build is known by its id while it runs: from the first line that is asked for to the end. */
async function* cancelable<T>(
  lines: AsyncIterable<T>,
  known: Map<string, AbortController>,
  { id, canceled }: { id: string; canceled: AbortController },
): AsyncGenerator<T> {
  known.set(id, canceled);
  try {
    yield* lines;
  } finally {
    if (known.get(id) === canceled) known.delete(id);
  }
}

/** A client that has gone away takes its build with it: the generator is closed, or the signal aborts. */
async function* classicLines(engine: Engine, options: BuildOptions, outer: AbortSignal): AsyncGenerator<BuildLine> {
  const closed = new AbortController();
  const queue = new LineQueue<BuildLine>(() => ({ stream: '[output clipped]\n' }));
  const lines = new ClassicLines({
    emit: (line, size) => queue.push(line, size, { keep: !('stream' in line) && !('progressDetail' in line) }),
    labels: options.labels,
    imageId: (reference) => engine.images.find(reference)?.id,
  });
  let begun = false;
  const built = engine
    .build(options, {
      onEvent: (event) => lines.event(event),
      onOutline: (outline) => {
        begun = true;
        lines.outline(outline);
      },
      signal: AbortSignal.any([outer, closed.signal]),
    })
    .then(
      ({ id, names }) => {
        lines.finish(id, options.tags.length > 0 ? [...new Set(options.tags.map(tagged))] : names);
        queue.end();
      },
      (error: unknown) => {
        lines.fail();
        if (!begun) return queue.end(ofTheRequest(error));
        const line = failureLine(error);
        if (!line) return queue.end(error);
        queue.push(line, 0, { keep: true });
        queue.end();
      },
    );
  try {
    yield* queue;
  } finally {
    closed.abort(new HuskError('the client has left', { kind: 'conflict' }));
    await built;
  }
}

/** `q=1`: the id alone. */
async function* quietly(engine: Engine, options: BuildOptions, signal: AbortSignal): AsyncGenerator<BuildLine> {
  let id: string | undefined;
  try {
    ({ id } = await engine.build(options, { signal }));
  } catch (error) {
    const line = failureLine(error);
    if (!line || !commandOf(error)) throw ofTheRequest(error);
    yield line;
    return;
  }
  yield { stream: `${id}\n` };
}

const tagged = (name: string): string => familiarReference(withDefaultTag(parseReference(name)));

/** A Dockerfile that is not there is no 404 of the API's: that would be the answer of an engine without builds. */
function ofTheRequest(error: unknown): unknown {
  if (!(error instanceof HuskError) || error.kind !== 'not-found') return error;
  return new HuskError(error.message, { kind: 'invalid', cause: error, ...(error.fix && { fix: error.fix }) });
}

function commandOf(error: unknown): CommandFailed | undefined {
  for (let each = error; each instanceof Error; each = each.cause) if (each instanceof CommandFailed) return each;
  return undefined;
}

/** @returns the last line of a build that failed, with Docker's sentence; undefined for a fault of husk's */
function failureLine(error: unknown): BuildLine | undefined {
  const failed = commandOf(error);
  if (failed) {
    const message = `The command '${failed.command}' returned a non-zero code: ${failed.code}`;
    return { errorDetail: { code: failed.code, message }, error: message };
  }
  if (!(error instanceof HuskError)) return undefined;
  const message = error.fix === undefined ? error.message : `${error.message}\n\n${error.fix}`;
  return { errorDetail: { message }, error: message };
}

async function prune({ query }: Call, engine: Engine): Promise<Answer> {
  const filters = query.filters(PRUNE_FILTERS);
  const until = [...(filters['until'] ?? []), ...(filters['unused-for'] ?? [])];
  const now = Date.now();
  const usedBefore = until.length === 0 ? undefined : Math.min(...until.map((text) => parseMomentMs(text, now)));
  const limits = {
    reserved: query.integer('reserved-space') ?? query.integer('keep-storage'),
    maxUsed: query.integer('max-used-space'),
    minFree: query.integer('min-free-space'),
  };
  const matches = rowFilter(filters);
  const all = query.boolean('all');
  const gone = await engine.images.pruneBuildCache({
    usedBefore,
    limits,
    filter: (row) => (all || !row.shared) && matches(row),
  });
  // No filter but that of time is about the caches of mounts, and what is to be kept are layers.
  const isOfRows = Object.keys(filters).some((key) => key !== 'until' && key !== 'unused-for');
  const others = isOfRows || Object.values(limits).some((bytes) => bytes !== undefined);
  const mounts = others ? 0 : await engine.pruneCacheMounts(usedBefore);
  const value = { CachesDeleted: gone.map(({ key }) => key), SpaceReclaimed: freed(gone) + mounts };
  return { kind: 'json', status: 200, value };
}

/** husk's rows are of one type, have no parent, and none is in use while it is pruned. */
function rowFilter(filters: Record<string, string[]>): (row: CacheRow) => boolean {
  const wanted = (key: string, of: (row: CacheRow) => boolean) => (row: CacheRow) =>
    filters[key] === undefined || filters[key].map(boolean).includes(of(row));
  const tests: ((row: CacheRow) => boolean)[] = [
    ({ key }) => (filters['id'] ?? ['']).some((id) => key.startsWith(id)),
    () => filters['parent'] === undefined,
    () => filters['type'] === undefined || filters['type'].includes('regular'),
    ({ step }) => (filters['description'] ?? ['']).some((text) => step.includes(text)),
    wanted('inuse', () => false),
    wanted('shared', ({ shared }) => shared),
    wanted('private', ({ shared }) => !shared),
  ];
  return (row) => tests.every((test) => test(row));
}

/** `{"shared":["true"]}` and `{"shared":{"":true}}` mean the same. */
const boolean = (text: string): boolean => {
  try {
    return text === '' || parseBool(text);
  } catch {
    throw new HuskError(`invalid filter value ${JSON.stringify(text)}`, { kind: 'invalid' });
  }
};

/** Layers that images have stay, and one of several rows goes once. */
const freed = (rows: readonly CacheRow[]): number =>
  [...new Map(rows.map(({ diffId, shared, size }) => [diffId, shared ? 0 : size])).values()].reduce(
    (sum, size) => sum + size,
    0,
  );

function cancel({ query }: Call, engine: Engine): Answer {
  const id = query.text('id');
  if (id === undefined) throw new HuskError('build ID not provided', { kind: 'invalid' });
  runningOf(engine)
    .get(id)
    ?.abort(new HuskError('the build was canceled', { kind: 'conflict' }));
  return { kind: 'empty', status: 204 };
}

export const buildRoutes: readonly Route[] = [
  { method: 'POST', path: '/build', handler: build },
  { method: 'POST', path: '/build/prune', handler: prune },
  { method: 'POST', path: '/build/cancel', handler: cancel },
];
