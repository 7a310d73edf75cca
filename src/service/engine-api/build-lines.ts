/**
 * A build as the lines of Docker's classic builder, which has no stages side by side: instructions are told in the
 * Dockerfile's order, and what a later one says waits, within a bound, for those before it. Pure: events in, lines out.
 *
 * Source: recorded answers of dockerd 26 (`Step 1/3 : FROM x`, ` ---> id`); moby builder/dockerfile.
 */
import { createHash } from 'node:crypto';
import { StringDecoder } from 'node:string_decoder';
import type { BuildOutline } from '../../engine/build-contract.ts';
import type { BuildEvent } from '../../engine/build-events.ts';

/** what stderr of a command is wrapped in */
const RED = '\u001b[91m';
const PLAIN = '\u001b[0m';
/** bytes of texts that wait for the instructions before them, of one build */
const MOST_WAITING = 1 << 20;
/** hexadecimal digits of an id that is shown */
const SHORT = 12;
/** instructions that classic Docker runs no container for */
const WITHOUT_CONTAINER = /^(?:FROM|COPY|ADD)\s/i;

export type BuildLine = Record<string, unknown>;

interface Instruction {
  text: string;
  stage: number;
  line: number;
  /** whether its `Step` line is written */
  begun: boolean;
  ended: boolean;
  cached: boolean;
  /** whether `Running in` is written */
  running: boolean;
  failed: boolean;
  waiting: BuildLine[];
}

interface StepState {
  /** undefined of a step of husk's own, as a pull */
  line: number | undefined;
  stdout: StringDecoder;
  stderr: StringDecoder;
}

export interface ClassicLinesOptions {
  emit: (line: BuildLine, size: number) => void;
  /** `--label`, which classic Docker adds as an instruction */
  labels: Record<string, string>;
  /** @returns the id of an image that is here, without its algorithm */
  imageId: (reference: string) => string | undefined;
}

const short = (id: string): string => id.replace(/^sha256:/, '').slice(0, SHORT);
const digest = (text: string): string => createHash('sha256').update(text).digest('hex');

export class ClassicLines {
  readonly #options: ClassicLinesOptions;
  #instructions: Instruction[] = [];
  #planned: BuildOutline['planned'];
  /** the instruction that is told now */
  #at = 0;
  /** ids of what the stages have become so far */
  readonly #ids = new Map<number, string>();
  readonly #steps = new Map<number, StepState>();
  #waiting = 0;

  constructor(options: ClassicLinesOptions) {
    this.#options = options;
  }

  outline({ instructions, planned }: BuildOutline): void {
    this.#planned = planned;
    if (this.#instructions.length === 0) {
      const labels = Object.entries(this.#options.labels);
      const stage = instructions.at(-1)?.stage ?? 0;
      const text = `LABEL ${labels.map(([name, value]) => `${name}=${value}`).join(' ')}`;
      this.#instructions = [...instructions, ...(labels.length > 0 ? [{ stage, line: 0, text }] : [])].map((each) => ({
        ...each,
        begun: false,
        ended: false,
        cached: false,
        running: false,
        failed: false,
        waiting: [],
      }));
    }
    this.#advance();
  }

  event(event: BuildEvent): void {
    if (event.type === 'warning') {
      if (!event.warning) this.#emit({ stream: `[Warning] ${event.text}\n` });
      return;
    }
    if (event.type === 'start')
      this.#steps.set(event.step, {
        line: event.line,
        stdout: new StringDecoder('utf8'),
        stderr: new StringDecoder('utf8'),
      });
    const step = this.#steps.get(event.step);
    if (!step) return;
    const instruction = step.line === undefined ? undefined : this.#instructions.find(({ line }) => line === step.line);
    if (!instruction) this.#ownEvent(event);
    else this.#instructionEvent(event, step, instruction);
  }

  /** What a pull tells is Docker's own form; the rest of husk's own steps is nothing that a client waits for. */
  #ownEvent(event: BuildEvent): void {
    if (event.type === 'transfer') this.#emit(transferLine(event));
    else if (event.type === 'message' && !this.#planned) this.#emit({ status: event.text });
  }

  #instructionEvent(event: BuildEvent, step: StepState, instruction: Instruction): void {
    const tell = (line: BuildLine): void => this.#tell(instruction, line);
    if (event.type === 'output') {
      this.#run(instruction);
      const text = step[event.stream].write(Buffer.from(event.data));
      if (text !== '') tell({ stream: event.stream === 'stderr' ? `${RED}${text}${PLAIN}` : text });
    } else if (event.type === 'message') tell({ stream: `${event.text}\n` });
    else if (event.type === 'transfer') tell(transferLine(event));
    else if (event.type === 'end') {
      const rest = step.stdout.end() + step.stderr.end();
      if (rest !== '') tell({ stream: rest });
      this.#end(instruction, event.outcome);
    }
  }

  #end(instruction: Instruction, outcome: 'done' | 'cached' | 'error' | 'canceled'): void {
    // A trigger of the base ends after FROM, whose line it has.
    if (instruction.ended) return;
    if (outcome === 'error' || outcome === 'canceled') {
      if (outcome === 'error') this.#run(instruction);
      instruction.failed = outcome === 'error';
      return;
    }
    instruction.ended = true;
    instruction.cached = outcome === 'cached';
    if (outcome === 'done') this.#run(instruction);
    this.#advance();
  }

  /** Writes the line that a container was made, once. */
  #run(instruction: Instruction): void {
    if (instruction.running || WITHOUT_CONTAINER.test(instruction.text)) return;
    instruction.running = true;
    this.#tell(instruction, { stream: ` ---> Running in ${this.#containerOf(instruction)}\n` });
  }

  /** Nobody can name this container: its id is a digest of its place, as long as Docker's. */
  #containerOf({ text, line }: Instruction): string {
    return digest(`container ${line} ${text}`).slice(0, SHORT);
  }

  #tell(instruction: Instruction, line: BuildLine): void {
    if (instruction.begun) return this.#emit(line);
    const size = sizeOf(line);
    if (this.#waiting + size > MOST_WAITING) return;
    this.#waiting += size;
    instruction.waiting.push(line);
  }

  #begin(instruction: Instruction): void {
    if (instruction.begun) return;
    instruction.begun = true;
    const number = this.#instructions.indexOf(instruction) + 1;
    this.#emit({ stream: `Step ${number}/${this.#instructions.length} : ${instruction.text}` });
    this.#emit({ stream: '\n' });
    for (const line of instruction.waiting) {
      this.#waiting -= sizeOf(line);
      this.#emit(line);
    }
    instruction.waiting = [];
  }

  /** Tells all instructions up to the first that is still worked on. The last one ends with the build. */
  #advance(): void {
    for (let next = this.#instructions[this.#at]; next; next = this.#instructions[++this.#at]) {
      const planned = this.#planned;
      if (planned && next.stage >= 0 && !planned.stages.has(next.stage)) continue;
      this.#begin(next);
      if (!planned || (planned.steps.has(next.line) && !next.ended)) return;
      this.#become(next, this.#idAfter(next));
      if (next === this.#last()) return;
      this.#tail(next, this.#ids.get(next.stage)!);
    }
  }

  #last(): Instruction | undefined {
    return this.#instructions.findLast(({ stage }) => stage < 0 || this.#planned?.stages.has(stage));
  }

  #become({ stage }: Instruction, id: string): void {
    this.#ids.set(stage, id);
  }

  #idAfter({ stage, line, text }: Instruction): string {
    const image = this.#planned?.images.get(line);
    if (image !== undefined) return this.#options.imageId(image) ?? digest(image);
    if (/^FROM\s+scratch\b/i.test(text)) return '';
    return digest(`${this.#ids.get(stage) ?? ''}\n${text}`);
  }

  #tail(instruction: Instruction, id: string): void {
    const { text, stage, line } = instruction;
    const isStep = this.#planned!.steps.has(line);
    if (!/^FROM\s/i.test(text)) {
      // What changes the config alone has no cache of its own: it goes with the step before.
      if (isStep ? instruction.cached : this.#isCached(stage)) this.#emit({ stream: ' ---> Using cache\n' });
      else if (!WITHOUT_CONTAINER.test(text)) {
        this.#run(instruction);
        this.#emit({ stream: ` ---> Removed intermediate container ${this.#containerOf(instruction)}\n` });
      }
    }
    this.#emit({ stream: ` ---> ${short(id)}\n` });
  }

  /** @returns whether the step of this stage that was told last came out of the cache */
  #isCached(of: number): boolean {
    const steps = this.#instructions
      .slice(0, this.#at)
      .filter(({ stage, line, text }) => stage === of && this.#planned!.steps.has(line) && !/^FROM\s/i.test(text));
    return steps.at(-1)?.cached ?? false;
  }

  /** Tells the end of a build that gave an image. */
  finish(id: string | undefined, names: readonly string[]): void {
    const last = this.#instructions[this.#at];
    if (last) this.#tail(last, id ?? this.#ids.get(last.stage) ?? '');
    if (id === undefined) return;
    this.#emit({ aux: { ID: id } });
    this.#emit({ stream: `Successfully built ${short(id)}\n` });
    for (const name of names) this.#emit({ stream: `Successfully tagged ${name}\n` });
  }

  /** Tells the instruction that failed, where those before it were still worked on. */
  fail(): void {
    for (const instruction of this.#instructions) if (instruction.failed) this.#begin(instruction);
  }

  #emit(line: BuildLine): void {
    this.#options.emit(line, sizeOf(line));
  }
}

const sizeOf = (line: BuildLine): number => (typeof line['stream'] === 'string' ? line['stream'].length : 0) + 100;

const transferLine = ({ id, text, current, total }: Extract<BuildEvent, { type: 'transfer' }>): BuildLine => ({
  status: text,
  progressDetail: current === 0 && total === undefined ? {} : { current, ...(total !== undefined && { total }) },
  id,
});
