/** The steps of one build: their numbers, and the events that tell of them. */
import { elapsed } from '../../long-timer.ts';
import type { BuildEvent, StepOutcome } from '../build-events.ts';

export interface Step {
  readonly number: number;
  message(text: string): void;
  output(data: Uint8Array, stream: 'stdout' | 'stderr'): void;
  transfer(id: string, text: string, current: number, total?: number): void;
  /** tells the outcome, once */
  end(outcome: StepOutcome, error?: string): void;
}

export class Steps {
  readonly #tell: (event: BuildEvent) => void;
  readonly #began = elapsed();
  #last = 0;

  constructor(tell: (event: BuildEvent) => void) {
    this.#tell = tell;
  }

  #at(): number {
    return elapsed() - this.#began;
  }

  /** @param line of the Dockerfile, where the step is one of its instructions */
  start(name: string, line?: number): Step {
    const step = ++this.#last;
    let ended = false;
    this.#tell({ type: 'start', at: this.#at(), step, name, ...(line !== undefined && { line }) });
    return {
      number: step,
      message: (text) => this.#tell({ type: 'message', at: this.#at(), step, text }),
      output: (data, stream) => this.#tell({ type: 'output', at: this.#at(), step, stream, data }),
      transfer: (id, text, current, total) =>
        this.#tell({
          type: 'transfer',
          at: this.#at(),
          step,
          id,
          text,
          current,
          ...(total !== undefined && { total }),
        }),
      end: (outcome, error) => {
        if (ended) return;
        ended = true;
        this.#tell({ type: 'end', at: this.#at(), step, outcome, ...(error !== undefined && { error }) });
      },
    };
  }
}
