/**
 * Clients that have attached to a container that does not run yet, which is the normal order (`docker run`: create,
 * attach, wait, start on three connections). Whoever starts it through the same server takes them along; for a start by
 * anybody else each holds a place. A client that waits is a connection: nothing of this outlives the server.
 */
import type { AwaitedStart, Engine } from '../../../../engine/contract.ts';
import type { AttachClient } from './attach-client.ts';

/** A client's place at the start, which is given up unless somebody has taken it. */
export class Place implements AsyncDisposable {
  readonly #awaited: AwaitedStart;
  #isTaken = false;

  constructor(awaited: AwaitedStart) {
    this.#awaited = awaited;
  }

  get token(): string {
    return this.#awaited.token;
  }

  /** @returns as `AwaitedStart` */
  started(signal: AbortSignal): Promise<boolean> {
    return this.#awaited.started(signal);
  }

  /** An attachment has it. */
  taken(): void {
    this.#isTaken = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isTaken) await this.#awaited.release();
  }
}

export class WaitingAttaches {
  readonly #byContainer = new Map<string, Map<AttachClient, Place>>();

  enter(container: string, client: AttachClient, place: Place): void {
    const clients = this.#byContainer.get(container) ?? new Map<AttachClient, Place>();
    this.#byContainer.set(container, clients.set(client, place));
  }

  /** @returns whether it was still waiting */
  leave(container: string, client: AttachClient): boolean {
    const clients = this.#byContainer.get(container);
    const waited = clients?.delete(client) ?? false;
    if (clients?.size === 0) this.#byContainer.delete(container);
    return waited;
  }

  /** @returns all that wait for it, who wait no more */
  take(container: string): { clients: AttachClient[]; places: Place[] } {
    const waiting = this.#byContainer.get(container) ?? new Map<AttachClient, Place>();
    this.#byContainer.delete(container);
    return { clients: [...waiting.keys()], places: [...waiting.values()] };
  }
}

/** Of each engine that is served, as long as it is. */
const ofEngines = new WeakMap<Engine, WaitingAttaches>();

export function waitingAttaches(engine: Engine): WaitingAttaches {
  let waiting = ofEngines.get(engine);
  if (!waiting) ofEngines.set(engine, (waiting = new WaitingAttaches()));
  return waiting;
}
