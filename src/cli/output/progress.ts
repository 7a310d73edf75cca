/**
 * The progress of a pull, push or load. A terminal has one line per layer, redrawn in place at most ten times a second;
 * any other output gets one line per change of status, as in Docker. Statuses come from a registry and are made
 * printable.
 */
import type { Progress } from '../../images/store/contract.ts';
import type { Output } from '../grammar/command.ts';
import { printable } from './printable.ts';
import { ellipsis, width } from './table.ts';
import { humanSize } from './units.ts';
import { startTimer } from '../../long-timer.ts';

/** ms between two drawings */
const REDRAW_MS = 100;
/** limit of characters of a bar, as in Docker, and the least on a narrow terminal */
const MAX_BAR = 50;
const MIN_BAR = 10;
/** size of a terminal that does not report its own */
const DEFAULT_COLUMNS = 80;
const DEFAULT_ROWS = 24;
/** limit of lines: a hostile manifest could name any number of layers */
const MAX_LINES = 1000;

interface Line extends Progress {
  done: boolean;
}

const DONE = /^(?:Pull complete|Already exists|Pushed|Layer already exists|Mounted from|Loaded|Download complete)/;

export class ProgressDisplay {
  readonly #output: Output;
  readonly #lines: Line[] = [];
  readonly #byId = new Map<string, Line>();
  /** lines that are on the terminal now */
  #drawn: string[] = [];
  #drawnAt = 0;
  /** cancels the next drawing */
  #cancel: (() => void) | undefined;
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
      // Bars are for terminals; any other output gets one line per change.
      if (changed && progress.current === undefined) this.#output.write(`${plain(progress)}\n`);
      return;
    }
    const wait = this.#drawnAt + REDRAW_MS - performance.now();
    if (wait <= 0) this.#draw();
    else this.#cancel ??= startTimer(wait, this.#redraw, { unref: true });
  }

  /** Draws the last state, which stays; nothing is drawn after it. */
  end(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    if (!this.#output.isTTY) return;
    this.#output.off('resize', this.#redraw);
    this.#draw({ everything: true });
    this.#lines.length = 0;
    this.#drawn = [];
  }

  #draw(options: { everything?: boolean } = {}): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#drawnAt = performance.now();
    const columns = Math.max(this.#output.columns ?? DEFAULT_COLUMNS, 1);
    // The cursor is below the last line, and cannot go above the first row.
    const room = Math.max((this.#output.rows ?? DEFAULT_ROWS) - 1, 1);
    const lines = options.everything
      ? // The digest is meant to be copied, so its line may wrap.
        this.#lines.map((line) => render(line, line.id === undefined ? Number.POSITIVE_INFINITY : columns))
      : visible(this.#lines, room).map((line) => render(line, columns));
    // A terminal that was made narrower has wrapped the lines that were drawn.
    const up = Math.min(
      this.#drawn.reduce((sum, text) => sum + Math.max(1, Math.ceil(width(text) / columns)), 0),
      room,
    );
    const start = up > 0 ? `\x1b[${up}A\r` : '';
    this.#output.write(`${start}\x1b[J${lines.map((text) => `${text}\n`).join('')}`);
    this.#drawn = lines;
  }
}

/** Chooses the lines that fit; those of unfinished layers come first. */
function visible(lines: readonly Line[], room: number): readonly Line[] {
  if (lines.length <= room) return lines;
  const moving = lines.filter((line) => !line.done).slice(0, room);
  const rest = room - moving.length;
  const shown = new Set([...moving, ...(rest > 0 ? lines.filter((line) => line.done).slice(-rest) : [])]);
  return lines.filter((line) => shown.has(line));
}

const plain = (line: Progress): string => (line.id === undefined ? line.status : `${line.id}: ${line.status}`);

/** Formats one line, never wider than the terminal. */
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
