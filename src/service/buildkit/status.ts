/**
 * The progress of a build as BuildKit's clients draw it: husk's steps are vertexes, messages and transfers are statuses
 * of these, output is their log. Events in, messages of Control/Status out.
 */
import { createHash } from 'node:crypto';
import type { BuildEvent } from '../../engine/build-events.ts';
import { LineQueue } from '../line-queue.ts';
import { vertex, vertexLog, vertexStatus, vertexWarning } from './messages.ts';

/** what clients take for "canceled", and show as CANCELED */
const CANCELED = 'context canceled';
/** statuses of one vertex that may be open at its end */
const MAX_OPEN = 1000;

interface Shown {
  digest: string;
  name: string;
  started: number;
  /** statuses that are not complete, with when they began */
  open: Map<string, { started: number; current: number; total: number }>;
}

export class BuildStatus {
  /** read once, by the first who asks for the status */
  readonly messages: LineQueue<Buffer>;
  readonly #ref: string;
  readonly #steps = new Map<number, Shown>();
  /** when the engine's own clock began, ms since 1970 */
  #began = Date.now();
  #own = 0;
  #file: { name: string; bytes: Uint8Array } | undefined;
  #last: string | undefined;

  constructor(ref: string) {
    this.#ref = ref;
    this.messages = new LineQueue<Buffer>(() =>
      vertexLog({
        vertex: this.#last ?? this.#digest(0),
        at: Date.now(),
        stream: 2,
        data: Buffer.from('[output clipped: the client reads too slowly]\n'),
      }),
    );
  }

  /** The engine's build begins now. @param file the Dockerfile, for warnings */
  begin(file?: { name: string; bytes: Uint8Array }): void {
    this.#began = Date.now();
    this.#file = file;
  }

  /** A step that is none of the engine's: the transfer of a context. */
  own(name: string): { status(id: string, current: number, isDone?: boolean): void; end(error?: string): void } {
    const step = --this.#own;
    const at = (): number => Date.now() - this.#began;
    this.event({ type: 'start', at: at(), step, name });
    return {
      status: (id, current, isDone = false) => this.#ownStatus(step, { id, current, isDone }),
      end: (error) =>
        this.event({
          type: 'end',
          at: at(),
          step,
          outcome: error === undefined ? 'done' : 'error',
          ...(error !== undefined && { error }),
        }),
    };
  }

  #ownStatus(step: number, { id, current, isDone }: { id: string; current: number; isDone: boolean }): void {
    const { digest, open, started } = this.#steps.get(step)!;
    const [at, began] = [Date.now(), open.get(id)?.started ?? started];
    if (isDone) open.delete(id);
    else open.set(id, { started: began, current, total: 0 });
    this.#push(
      vertexStatus({ id, vertex: digest, current, at, started: began, ...(isDone && { completed: at }) }),
      isDone,
    );
  }

  event(event: BuildEvent): void {
    const at = this.#began + event.at;
    if (event.type === 'warning') return this.#warning(event);
    if (event.type === 'start') {
      const started = { digest: this.#digest(event.step), name: event.name, started: at, open: new Map() };
      this.#steps.set(event.step, started);
      this.#last = started.digest;
      return this.#push(vertex(started), true);
    }
    const step = this.#steps.get(event.step);
    if (!step) return;
    const { digest } = step;
    if (event.type === 'output')
      this.#push(vertexLog({ vertex: digest, at, stream: event.stream === 'stdout' ? 1 : 2, data: event.data }));
    else if (event.type === 'message')
      this.#push(vertexStatus({ id: event.text, vertex: digest, at, started: at, completed: at }), true);
    else if (event.type === 'transfer') this.#transfer(step, event, at);
    else this.#end(step, event, at);
  }

  #transfer(step: Shown, event: Extract<BuildEvent, { type: 'transfer' }>, at: number): void {
    const { id: of, text, current, total = 0 } = event;
    const id = text === 'Downloading' || text === '' ? of : `${text.toLowerCase()} ${of}`.trim();
    const started = step.open.get(id)?.started ?? at;
    const isDone = total > 0 && current >= total;
    if (isDone) step.open.delete(id);
    else if (step.open.size < MAX_OPEN) step.open.set(id, { started, current, total });
    const status = { id, vertex: step.digest, current, total, at, started };
    this.#push(vertexStatus({ ...status, ...(isDone && { completed: at }) }));
  }

  #end(step: Shown, { outcome, error }: Extract<BuildEvent, { type: 'end' }>, at: number): void {
    const { digest, name, started } = step;
    for (const [id, open] of step.open)
      this.#push(vertexStatus({ id, vertex: digest, ...open, at, completed: at }), true);
    step.open.clear();
    const failed = outcome === 'canceled' ? CANCELED : outcome === 'error' ? (error ?? 'failed') : undefined;
    this.#push(
      vertex({
        digest,
        name,
        started,
        completed: at,
        cached: outcome === 'cached',
        ...(failed !== undefined && { error: failed }),
      }),
      true,
    );
  }

  #warning({ text, warning }: Extract<BuildEvent, { type: 'warning' }>): void {
    this.#push(
      vertexWarning({
        vertex: this.#last ?? this.#digest(0),
        short: warning ? `${warning.rule}: ${warning.message}` : text,
        detail: warning?.description ?? '',
        url: warning?.url ?? '',
        ...(warning && { range: warning.range }),
        ...(warning && this.#file && { file: this.#file }),
      }),
      true,
    );
  }

  #digest(step: number): string {
    return `sha256:${createHash('sha256').update(`${this.#ref} ${step}`).digest('hex')}`;
  }

  #push(message: Buffer, keep = false): void {
    this.messages.push(message, message.length, { keep });
  }

  end(): void {
    this.messages.end();
  }
}
