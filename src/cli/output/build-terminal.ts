/**
 * The progress of a build on a terminal: a line for each step, redrawn in place, with the last lines that each running
 * step printed beneath it. Never wider or higher than the terminal; where there is no room for all, what runs goes
 * first. At the end every step stands there once. All text is made printable.
 */
import { elapsed, startTimer } from '../../long-timer.ts';
import type { BuildEvent, StepOutcome } from '../../engine/build-events.ts';
import type { Output } from '../grammar/command.ts';
import type { BuildDisplay } from './build-progress.ts';
import { Lines } from './build-lines.ts';
import { printable } from './printable.ts';
import { ellipsis, width } from './table.ts';
import { humanSize } from './units.ts';

/** ms between two drawings */
const REDRAW_MS = 100;
/** size of a terminal that does not report its own */
const DEFAULT_COLUMNS = 80;
const DEFAULT_ROWS = 24;
/** lines beneath a running step */
const MAX_TAIL = 6;
const TERMINAL = { isTTY: true };

interface Step {
  name: string;
  start: number;
  end?: number;
  outcome?: StepOutcome;
  lines: Lines;
  tail: string[];
  transfers: Map<string, { text: string; current: number; total?: number }>;
}

export class TerminalProgress implements BuildDisplay {
  readonly #output: Output;
  readonly #began = elapsed();
  readonly #steps = new Map<number, Step>();
  #drawn: string[] = [];
  #cancel: (() => void) | undefined;
  #ended = false;
  readonly #redraw = (): void => {
    // Before there is a step, a Dockerfile may be typed on the same terminal.
    if (this.#steps.size > 0) this.#draw(this.#frame());
    this.#plan();
  };

  constructor(output: Output) {
    this.#output = output;
    output.on('resize', this.#redraw);
    this.#plan();
  }

  show(event: BuildEvent): void {
    if (event.type === 'warning') return;
    if (event.type === 'start') {
      const tail: string[] = [];
      const lines = new Lines((line) => {
        // What a carriage return would overwrite is not seen on a terminal either.
        tail.push(printable(line.slice(line.lastIndexOf('\r') + 1), TERMINAL));
        if (tail.length > MAX_TAIL) tail.shift();
      });
      this.#steps.set(event.step, { name: event.name, start: event.at, lines, tail, transfers: new Map() });
      return;
    }
    const step = this.#steps.get(event.step);
    if (!step) return;
    if (event.type === 'output') step.lines.push(event.stream, event.data);
    else if (event.type === 'message') step.lines.push('message', Buffer.from(`${event.text}\n`));
    else if (event.type === 'transfer') step.transfers.set(event.id, event);
    else {
      step.end = event.at;
      step.outcome = event.outcome;
      step.tail.length = 0;
      step.transfers.clear();
    }
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#cancel?.();
    this.#output.off('resize', this.#redraw);
    if (this.#steps.size > 0)
      this.#draw([this.#header(), ...[...this.#steps.values()].map((step) => this.#line(step))]);
  }

  #plan(): void {
    this.#cancel?.();
    this.#cancel = this.#ended ? undefined : startTimer(REDRAW_MS, this.#redraw, { unref: true });
  }

  /** The lines that fit: the header, then steps in their order, those that run with what they printed last. */
  #frame(): string[] {
    const room = Math.max((this.#output.rows ?? DEFAULT_ROWS) - 2, 1);
    const steps = [...this.#steps.values()];
    const running = steps.filter((step) => step.outcome === undefined).slice(0, room);
    const finished = steps.filter((step) => step.outcome !== undefined);
    const shown = new Set([...running, ...(running.length < room ? finished.slice(-(room - running.length)) : [])]);
    // Finished steps give way to the last lines of those that run, down to half of the room.
    const spare = Math.max(room - shown.size, Math.floor((room - running.length) / 2));
    const each = running.length === 0 ? 0 : Math.min(MAX_TAIL, Math.floor(spare / running.length));
    const details = new Map(
      running.map((step) => [
        step,
        this.#details(step)
          .slice(-each || MAX_TAIL)
          .slice(each === 0 ? MAX_TAIL : 0),
      ]),
    );
    let over = shown.size + [...details.values()].reduce((sum, lines) => sum + lines.length, 0) - room;
    for (const step of finished) {
      if (over <= 0) break;
      if (shown.delete(step)) over--;
    }
    return [
      this.#header(),
      ...steps.filter((step) => shown.has(step)).flatMap((step) => [this.#line(step), ...(details.get(step) ?? [])]),
    ];
  }

  #header(): string {
    const steps = [...this.#steps.values()];
    const finished = steps.filter((step) => step.outcome !== undefined).length;
    return `[+] Building ${seconds(elapsed() - this.#began)} (${finished}/${steps.length})${this.#ended ? '' : ' '}`;
  }

  #line({ name, start, end, outcome }: Step): string {
    const marks: Partial<Record<StepOutcome, string>> = { cached: 'CACHED ', error: 'ERROR ', canceled: 'CANCELED ' };
    const time = seconds((end ?? elapsed() - this.#began) - start);
    const columns = this.#columns();
    const text = ellipsis(
      ` => ${outcome === undefined ? '' : (marks[outcome] ?? '')}${printable(name, TERMINAL)}`,
      Math.max(columns - time.length - 1, 1),
    );
    return columns <= time.length + 1
      ? ellipsis(text, columns)
      : `${text}${' '.repeat(Math.max(columns - width(text) - time.length, 1))}${time}`;
  }

  #details({ tail, transfers }: Step): string[] {
    const columns = this.#columns();
    const moving = [...transfers].map(([id, { text, current, total }]) => {
      // A layer that waits, or is done, has no size of its own to tell.
      if (total === undefined && current === 0) return `${id} ${text}`;
      const size = total === undefined ? humanSize(current, 4) : `${humanSize(current, 4)} / ${humanSize(total, 4)}`;
      return `${id} ${text} ${size}`;
    });
    return [...moving, ...tail].map((text) => ellipsis(` => => ${printable(text, TERMINAL)}`, columns));
  }

  /** One column stays free: a line as wide as the terminal leaves the cursor in a place that differs by terminal. */
  #columns(): number {
    return Math.max((this.#output.columns ?? DEFAULT_COLUMNS) - 1, 1);
  }

  #draw(lines: string[]): void {
    const columns = Math.max(this.#output.columns ?? DEFAULT_COLUMNS, 1);
    const room = Math.max((this.#output.rows ?? DEFAULT_ROWS) - 1, 1);
    // A terminal that was made narrower has wrapped the lines that were drawn.
    const up = Math.min(
      this.#drawn.reduce((sum, text) => sum + Math.max(1, Math.ceil(width(text) / columns)), 0),
      room,
    );
    const start = up > 0 ? `\x1b[${up}A\r` : '';
    // Each line is drawn over the old one: a screen that is cleared from its first row goes into tmux's scrollback.
    this.#output.write(`${start}${lines.map((text) => `${text}\x1b[K\n`).join('')}\x1b[J`);
    this.#drawn = lines;
  }
}

const seconds = (ms: number): string => `${(Math.max(ms, 0) / 1000).toFixed(1)}s`;
