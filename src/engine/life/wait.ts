/**
 * `wait`: until a container has ended, told by the table of events: no life is too short to be seen, and a removed
 * container's exit code is still in it. Never writes.
 */
import { after } from '../../long-timer.ts';
import { readAccess } from '../../supervisor/protocol/access.ts';
import { SupervisorClient } from '../../supervisor/client.ts';
import type { EngineContext } from '../record/context.ts';
import type { Container, ContainerExit, Engine } from '../contract.ts';
import { ChangeNotice, LEAST_MS, LOOK_EVERY_MS, NOT_YET, untilFound } from '../record/record-changes.ts';
import { isRunning, reread } from '../record/supervisor-link.ts';
import type { ExitLog } from './exit-log.ts';

type WaitOptions = NonNullable<Parameters<Engine['wait']>[1]>;

/** ms between two looks where everything that could happen is told: a notice may be lost all the same */
const LOOK_RARELY_MS = 1000;

/**
 * @param log from the moment on from which is waited
 * @throws the signal's reason; HuskError `corrupt`
 */
export async function wait(context: EngineContext, log: ExitLog, options: WaitOptions = {}): Promise<ContainerExit> {
  const { condition = 'not-running', signal } = options;
  signal?.throwIfAborted();
  if (condition === 'not-running' && log.resting) return log.resting;
  using notice = new ChangeNotice(context.paths);
  using supervisor = new SupervisorWatch(context, () => notice.changed());
  for (;;) {
    signal?.throwIfAborted();
    // begins before the look: what is written during it is noticed
    const changed = notice.next();
    // what a killed process has left is mended by whoever looks, and that tells of its end
    const container = reread(context, log.id);
    const end = log.next(condition);
    if (end) return end;
    const isTold = notice.isTold && container !== undefined && (await tellsOfItself(container, supervisor));
    await Promise.all([changed(isTold ? LOOK_RARELY_MS : LOOK_EVERY_MS, signal), after(LEAST_MS, { signal })]);
  }
}

/** Whether no process can be killed without a word of which this container's next step is. */
async function tellsOfItself(container: Container, supervisor: SupervisorWatch): Promise<boolean> {
  return isRunning(container) ? supervisor.watch(container) : container.state.claim === undefined;
}

/** A connection to a running container's supervisor, which ends with it: a killed one writes no event. */
class SupervisorWatch implements Disposable {
  readonly #context: EngineContext;
  readonly #onEnd: () => void;
  #client: SupervisorClient | undefined;

  constructor(context: EngineContext, onEnd: () => void) {
    this.#context = context;
    this.#onEnd = onEnd;
  }

  /** Never rejects. @returns false where it cannot be reached */
  async watch({ id }: Container): Promise<boolean> {
    if (this.#client) return true;
    const client = await SupervisorClient.connect(readAccess(this.#context.paths, id)).catch(() => undefined);
    if (!client) return false;
    this.#client = client;
    const ended = () => {
      client[Symbol.dispose]();
      this.#client = undefined;
      this.#onEnd();
    };
    // answered at an exit: between two lives the next look connects anew
    client.request({ type: 'wait' }).then(ended, ended);
    return true;
  }

  [Symbol.dispose](): void {
    this.#client?.[Symbol.dispose]();
  }
}

/** Until the record says that it does not run, or is gone. */
export async function waitUntilStopped(context: EngineContext, id: string): Promise<void> {
  return untilFound(context, () => {
    const container = reread(context, id);
    if (container && isRunning(container)) return NOT_YET;
  });
}
