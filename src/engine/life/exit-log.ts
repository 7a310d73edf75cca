/**
 * What becomes of one container from a moment on, read from its record and the table of events together: how its lives
 * end, and its removal, in their order, however quickly one follows the other. Made where a `wait` is called, so that
 * its moment is the call's; src/engine/assembly/ has it from the start. Waits for nothing.
 */
import { EXIT_HUSK_FAILED, HuskError } from '../../errors.ts';
import type { ContainerState } from '../../state/containers.ts';
import { snapshot } from '../../state/database.ts';
import { endingsAfter, lastEvent, MAX_EVENTS, type Ending } from '../../state/events.ts';
import type { EngineContext } from '../record/context.ts';
import type { ContainerExit } from '../contract.ts';
import { resolve } from '../record/reconcile.ts';

export type Condition = 'not-running' | 'next-exit' | 'removed';

const RUNNING: readonly ContainerState['status'][] = ['running', 'paused', 'restarting'];
const runs = ({ status }: ContainerState): boolean => RUNNING.includes(status);

export class ExitLog {
  readonly id: string;
  readonly #context: EngineContext;
  /** number of the last event that is taken into account */
  #seen: number;
  /** the state after that event */
  #known: ContainerState;
  /** the last end by then; undefined: its first life that counts has not ended */
  #end: ContainerExit | undefined;

  /** @throws HuskError `not-found` */
  constructor(context: EngineContext, reference: string) {
    // what a killed process has left is mended here, and an end that this tells of is of before
    const { id } = resolve(context, reference);
    const { state, last } = snapshot(context.database, () => ({
      state: context.store.get(id)?.state,
      last: lastEvent(context.database),
    }));
    if (!state) throw new HuskError(`No such container: ${reference}`, { kind: 'not-found' });
    this.id = id;
    this.#context = context;
    this.#seen = last;
    this.#known = state;
    this.#end = runs(state) ? undefined : endOf(state);
  }

  /** @returns how it ended, where it does not run as far as this has read */
  get resting(): ContainerExit | undefined {
    return runs(this.#known) ? undefined : this.#end;
  }

  /** Reads on. @returns how it has ended, once it has as the condition says */
  next(condition: Condition): ContainerExit | undefined {
    const { context, id } = { context: this.#context, id: this.id };
    const { state, endings, isWhole, last } = snapshot(context.database, () => ({
      state: context.store.get(id)?.state,
      ...endingsAfter(context.database, { id, after: this.#seen }),
      last: lastEvent(context.database),
    }));
    const found = this.#first(endings, condition) ?? this.#withoutEvents(state, { condition, isWhole });
    this.#seen = last;
    if (state) this.#known = state;
    return found;
  }

  #first(endings: readonly Ending[], condition: Condition): ContainerExit | undefined {
    for (const ending of endings) {
      if (ending.is === 'exit') this.#end = exit(ending.exitCode, ending.error);
      // what has been removed has also stopped
      if (ending.is === 'removal' ? this.#end : condition !== 'removed') return this.#end;
    }
    return undefined;
  }

  /** What the record alone tells: later events have replaced those that told of it. */
  #withoutEvents(
    state: ContainerState | undefined,
    { condition, isWhole }: { condition: Condition; isWhole: boolean },
  ): ContainerExit | undefined {
    if (!state) return isWhole && this.#end ? this.#end : this.#lost();
    if (isWhole) return undefined;
    const before = this.#known;
    if (runs(state)) return runs(before) && state.startedAt !== before.startedAt ? this.#lost() : undefined;
    this.#end = endOf(state);
    const isSame =
      !runs(before) &&
      (['startedAt', 'finishedAt', 'error', 'exitCode'] as const).every((key) => state[key] === before[key]);
    return condition === 'removed' || isSame ? undefined : this.#end;
  }

  #lost(): ContainerExit {
    return exit(
      EXIT_HUSK_FAILED,
      `how container ${this.id} ended is not known any more: more than ${MAX_EVENTS} events have come since`,
    );
  }
}

function endOf({ exitCode, error }: ContainerState): ContainerExit {
  return exit(exitCode, error === '' ? undefined : error);
}

function exit(code: number, error: string | undefined): ContainerExit {
  return { code, ...(error !== undefined && { error }) };
}
