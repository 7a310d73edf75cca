/**
 * `husk stats`: what containers use, redrawn as it changes, while containers start and end. The terminal is only
 * written to, never switched to another mode: Ctrl-C leaves it as it was.
 */
import { HuskError } from '../../errors.ts';
import type { Container, Engine } from '../../engine/contract.ts';
import { after, within } from '../../long-timer.ts';
import { configuredFormat } from '../client-config.ts';
import type { Invocation, Output } from '../grammar/command.ts';
import { checkFormat, writeList, type List } from '../output/format.ts';
import { statsRow, STATS_HEADERS, type Sample, type StatsOf } from '../output/stats-row.ts';
import { ellipsis } from '../output/table.ts';

const TABLE = '{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}';
/** ms between two samples, as in Docker's daemon */
const PERIOD_MS = 1000;
/** ms to wait for a sample, so that one guest that does not answer delays no other container */
const PATIENCE_MS = 3000;
/** size of a terminal that does not report its own */
const DEFAULT_COLUMNS = 80;
const DEFAULT_ROWS = 24;

export async function run({ flags, arguments: names, context }: Invocation): Promise<number> {
  const format = flags.string('format') || configuredFormat('statsFormat', context);
  checkFormat(format);
  const list: List = {
    format,
    quiet: false,
    defaultTable: TABLE,
    quietTemplate: '{{.ID}}',
    headers: STATS_HEADERS,
    rowType: '*container.statsContext',
  };
  const engine = await context.engine();
  // A container that is missing is reported before anything is drawn.
  for (const name of names) engine.get(name);
  const sampler = new Sampler(engine);
  const round = async (): Promise<StatsOf[]> => sampler.round(chosen(engine, names, flags.bool('all')));
  const truncate = !flags.bool('no-trunc');
  const rows = (found: StatsOf[]): Record<string, unknown>[] => found.map((of) => statsRow(of, { truncate }));

  let found = await round();
  if (flags.bool('no-stream')) {
    await after(PERIOD_MS);
    writeList(rows(await round()), list, context.stdout);
    return 0;
  }
  using screen = context.stdout.isTTY ? new Screen(context.stdout) : undefined;
  for (;;) {
    // All containers that were named are gone.
    if (names.length > 0 && found.length === 0) return 0;
    writeList(rows(found), list, screen ?? context.stdout);
    screen?.flush();
    await after(PERIOD_MS);
    found = await round();
  }
}

function chosen(engine: Engine, names: readonly string[], all: boolean): { container: Container; typed: string }[] {
  // The order is that of ps; a container that has been removed meanwhile is left out.
  if (names.length === 0) return engine.list({ all }).map((container) => ({ container, typed: container.id }));
  return names.flatMap((typed) => {
    try {
      return [{ container: engine.get(typed), typed }];
    } catch (error) {
      if (error instanceof HuskError && error.kind === 'not-found') return [];
      throw error;
    }
  });
}

/** Takes samples, and pairs each with the one before it. */
class Sampler {
  readonly #engine: Engine;
  #known = new Map<string, { sample: Sample | null; pending?: Promise<Sample | null> }>();

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  async round(containers: { container: Container; typed: string }[]): Promise<StatsOf[]> {
    // Containers that are gone are forgotten.
    this.#known = new Map(containers.map(({ container: { id } }) => [id, this.#known.get(id) ?? { sample: null }]));
    return Promise.all(
      containers.map(async ({ container, typed }): Promise<StatsOf> => {
        const known = this.#known.get(container.id)!;
        const { sample: last } = known;
        known.pending ??= this.#sample(container).finally(() => (known.pending = undefined));
        const taken = await within(known.pending, PATIENCE_MS);
        const sample = taken === 'late' ? undefined : taken;
        if (sample !== undefined) known.sample = sample;
        return {
          id: container.id,
          name: container.name,
          container: typed,
          sample,
          before: last && sample?.startedAt === last.startedAt ? last : undefined,
        };
      }),
    );
  }

  /** @returns null where the container does not run (any more) */
  async #sample({ id, state }: Container): Promise<Sample | null> {
    if (state.status !== 'running' && state.status !== 'paused') return null;
    try {
      return { stats: await this.#engine.stats(id), at: performance.now(), startedAt: state.startedAt };
    } catch (error) {
      if (error instanceof HuskError && (error.kind === 'conflict' || error.kind === 'not-found')) return null;
      throw error;
    }
  }
}

/** Draws each frame over the one before it, cut to the size of the terminal. */
class Screen implements Output, Disposable {
  readonly isTTY = true;
  readonly #output: Output;
  #text = '';
  #fresh = true;
  readonly #resized = (): void => void (this.#fresh = true);

  constructor(output: Output) {
    this.#output = output;
    output.on('resize', this.#resized);
  }

  write(text: string | Uint8Array): boolean {
    this.#text += String(text);
    return true;
  }

  flush(): void {
    const { columns = DEFAULT_COLUMNS, rows = DEFAULT_ROWS } = this.#output;
    const lines = this.#text
      .split('\n')
      .slice(0, -1)
      .slice(0, Math.max(1, rows - 1));
    // ECMA-48: ED clears the screen, CUP moves to its beginning, EL clears the rest of a line.
    this.#output.write(
      `${this.#fresh ? '\x1b[2J' : ''}\x1b[H${lines.map((line) => `${ellipsis(line, columns)}\x1b[K\n`).join('')}\x1b[J`,
    );
    this.#text = '';
    this.#fresh = false;
  }

  once(event: 'drain', listener: () => void): unknown {
    return this.#output.once(event, listener);
  }

  on(event: 'resize', listener: () => void): unknown {
    return this.#output.on(event, listener);
  }

  off(event: 'resize', listener: () => void): unknown {
    return this.#output.off(event, listener);
  }

  [Symbol.dispose](): void {
    this.#output.off('resize', this.#resized);
  }
}
