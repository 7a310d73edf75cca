/**
 * The progress of a pull, push or load. On a terminal a line a layer, redrawn in place at most ten times a second;
 * elsewhere a line for each change of status, as Docker prints. Statuses come from a registry and are made printable.
 */
import type { Progress } from '../../images/store/contract.ts';
import type { Output } from '../grammar/command.ts';
import { printable } from './printable.ts';
import { ellipsis, width } from './table.ts';
import { humanSize } from './units.ts';

/** ms between two drawings */
const REDRAW_MS = 100;
/** characters of a bar, as Docker's; shorter where the terminal is narrow */
const MAX_BAR = 50;
const MIN_BAR = 10;
/** what a terminal has that does not say */
const DEFAULT_COLUMNS = 80;
const DEFAULT_ROWS = 24;
/** lines kept: a hostile manifest could name any number of layers */
const MAX_LINES = 1000;

interface Line extends Progress {
  done: boolean;
}

const DONE = /^(?:Pull complete|Already exists|Pushed|Layer already exists|Mounted from|Loaded|Download complete)/;

export class ProgressDisplay {
  readonly #output: Output;
  readonly #lines: Line[] = [];
  readonly #byId = new Map<string, Line>();
  /** what stands on the terminal now */
  #drawn: string[] = [];
  #drawnAt = 0;
  #timer: NodeJS.Timeout | undefined;
  readonly #redraw = (): void => this.#draw();

  constructor(output: Output) {
    this.#output = output;
    if (output.isTTY) output.on('resize', this.#redraw);
  }

  show(progress: Progress): void {
    const known = progress.id === undefined ? undefined : this.#byId.get(progress.id);
    const line: Line = known ?? { ...progress, done: false };
    const changed = !known || known.status !== progress.status;
    line.status = progress.status;
    line.current = progress.current;
    line.total = progress.total;
    line.done = DONE.test(progress.status);
    if (!known && this.#lines.length < MAX_LINES) {
      this.#lines.push(line);
      if (progress.id !== undefined) this.#byId.set(progress.id, line);
    }
    if (!this.#output.isTTY) {
      // bars are for terminals; what is left is a line a change
      if (changed && progress.current === undefined) this.#output.write(`${plain(progress)}\n`);
      return;
    }
    const wait = this.#drawnAt + REDRAW_MS - performance.now();
    if (wait <= 0) this.#draw();
    else this.#timer ??= setTimeout(this.#redraw, wait).unref();
  }

  /** Leaves the last state standing; nothing is drawn after it. */
  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (!this.#output.isTTY) return;
    this.#output.off('resize', this.#redraw);
    this.#draw({ everything: true });
    this.#lines.length = 0;
    this.#drawn = [];
  }

  #draw(options: { everything?: boolean } = {}): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#drawnAt = performance.now();
    const columns = Math.max(this.#output.columns ?? DEFAULT_COLUMNS, 1);
    // the cursor stands below the last line, and cannot go above the first row
    const room = Math.max((this.#output.rows ?? DEFAULT_ROWS) - 1, 1);
    const lines = options.everything
      ? // the digest is there to be copied: it may wrap
        this.#lines.map((line) => render(line, line.id === undefined ? Number.POSITIVE_INFINITY : columns))
      : visible(this.#lines, room).map((line) => render(line, columns));
    // a terminal made narrower has wrapped what was drawn
    const up = Math.min(
      this.#drawn.reduce((sum, text) => sum + Math.max(1, Math.ceil(width(text) / columns)), 0),
      room,
    );
    const start = up > 0 ? `\x1b[${up}A\r` : '';
    this.#output.write(`${start}\x1b[J${lines.map((text) => `${text}\n`).join('')}`);
    this.#drawn = lines;
  }
}

/** What still moves has precedence where not all fits. */
function visible(lines: readonly Line[], room: number): readonly Line[] {
  if (lines.length <= room) return lines;
  const moving = lines.filter((line) => !line.done).slice(0, room);
  const rest = room - moving.length;
  const shown = new Set([...moving, ...(rest > 0 ? lines.filter((line) => line.done).slice(-rest) : [])]);
  return lines.filter((line) => shown.has(line));
}

const plain = (line: Progress): string => (line.id === undefined ? line.status : `${line.id}: ${line.status}`);

/** One line, never wider than the terminal. */
function render(line: Line, columns: number): string {
  const text = printable(plain(line), { isTTY: true });
  if (line.current === undefined) return ellipsis(text, columns);
  const numbers =
    line.total === undefined || line.current > line.total
      ? humanSize(line.current, 4).padStart(8)
      : `${humanSize(line.current, 4).padStart(8)}/${humanSize(line.total, 4)}`;
  const room = Math.min(MAX_BAR, columns - width(text) - numbers.length - 5);
  const bar =
    line.total !== undefined && line.total > 0 && room >= MIN_BAR
      ? `${barOf(Math.min(line.current / line.total, 1), room)} `
      : '';
  return ellipsis(`${text} ${bar}${numbers}`, columns);
}

function barOf(part: number, room: number): string {
  const filled = Math.floor(part * room);
  return `[${'='.repeat(filled)}${filled < room ? `>${' '.repeat(room - filled - 1)}` : ''}]`;
}
