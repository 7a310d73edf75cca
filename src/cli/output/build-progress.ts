/**
 * The progress of a build as plain lines (`#5 [build 2/7] RUN make`, `#5 0.412 text`, `#5 DONE 1.2s`), as one JSON
 * object a line, or as nothing at all. Every line that a step prints is kept, none is clipped. What reaches a terminal
 * is made printable: names come from a Dockerfile and lines from programs.
 */
import { rawJson, type BuildEvent, type StepOutcome } from '../../engine/build-events.ts';
import type { Output } from '../grammar/command.ts';
import { Lines } from './build-lines.ts';
import { printable } from './printable.ts';

export interface BuildDisplay {
  show(event: BuildEvent): void;
  /** Draws the last state, which stays. */
  end(): void;
}

/** lines of a step that the text of its failure repeats */
const LAST_LINES = 10;

interface Step {
  name: string;
  /** ms since the build began */
  start: number;
  lines: Lines;
  /** with the time before each, in seconds since the step began */
  last: string[];
}

/** What the steps that run, and the one that failed, printed last: for the text of a failure. */
export class LastLines {
  readonly #steps = new Map<number, Step>();
  readonly #onLine: (step: number, line: string) => void;
  /** when the event came whose lines are being told */
  #now = 0;

  constructor(onLine: (step: number, line: string) => void = () => {}) {
    this.#onLine = onLine;
  }

  add(event: BuildEvent): void {
    this.#now = event.at;
    if (event.type === 'start') {
      const { step, name, at } = event;
      this.#steps.set(step, { name, start: at, last: [], lines: new Lines((line) => this.#line(step, line)) });
    } else if (event.type === 'output') {
      this.#steps.get(event.step)?.lines.push(event.stream, event.data);
    } else if (event.type === 'message') {
      this.#line(event.step, event.text);
    } else if (event.type === 'end') {
      this.#steps.get(event.step)?.lines.end();
      if (event.outcome !== 'error') this.#steps.delete(event.step);
    }
  }

  #line(number: number, line: string): void {
    const step = this.#steps.get(number);
    if (!step) return;
    const text = `${((this.#now - step.start) / 1000).toFixed(3)} ${line}`;
    step.last.push(text);
    if (step.last.length > LAST_LINES) step.last.shift();
    this.#onLine(number, text);
  }

  of(step: number): { name: string; last: readonly string[] } | undefined {
    return this.#steps.get(step);
  }

  /** @returns ms for which the step has run */
  age(step: number, at: number): number {
    return at - (this.#steps.get(step)?.start ?? at);
  }
}

const OUTCOMES: Record<StepOutcome, string> = { done: 'DONE', cached: 'CACHED', error: 'ERROR', canceled: 'CANCELED' };

export class PlainProgress implements BuildDisplay {
  readonly #output: Output;
  readonly #last = new LastLines((step, line) => this.#write(`#${step} ${line}`));
  /** transfers whose end has been told; a size is told once */
  readonly #told = new Map<string, string>();

  constructor(output: Output) {
    this.#output = output;
  }

  show(event: BuildEvent): void {
    if (event.type === 'start') {
      this.#last.add(event);
      this.#write(`#${event.step} ${event.name}`);
    } else if (event.type === 'transfer') {
      const id = `${event.step} ${event.id}`;
      if (this.#told.get(id) === event.text) return;
      this.#told.set(id, event.text);
      this.#write(`#${event.step} ${event.id === '' ? '' : `${event.id} `}${event.text}`);
    } else if (event.type === 'end') {
      const seconds = (this.#last.age(event.step, event.at) / 1000).toFixed(1);
      this.#last.add(event);
      const tail = event.outcome === 'done' ? ` ${seconds}s` : event.error === undefined ? '' : `: ${event.error}`;
      this.#write(`#${event.step} ${OUTCOMES[event.outcome]}${tail}\n`);
    } else if (event.type !== 'warning') this.#last.add(event);
  }

  end(): void {}

  #write(line: string): void {
    this.#output.write(`${printable(line, this.#output, { lines: true })}\n`);
  }
}

export class RawProgress implements BuildDisplay {
  readonly #output: Output;

  constructor(output: Output) {
    this.#output = output;
  }

  show(event: BuildEvent): void {
    this.#output.write(rawJson(event));
  }

  end(): void {}
}

export const NO_PROGRESS: BuildDisplay = { show: () => {}, end: () => {} };
