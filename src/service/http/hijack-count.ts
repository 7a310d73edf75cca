/** Counts the hijacked connections of each container: one client cannot take all of the server's. */
import { HuskError } from '../../errors.ts';
import type { Engine } from '../../engine/contract.ts';
import { MAX_HIJACKS } from './bounds.ts';

export class HijackCount {
  readonly #counts = new Map<string, number>();

  /**
   * @param parameters of the route: the name or id of a container, or the id of an exec; others are not counted
   * @throws HuskError `limit`
   */
  enter(parameters: Readonly<Record<string, string>>, engine: Engine): Disposable {
    const [name] = Object.values(parameters);
    if (name === undefined) return { [Symbol.dispose]() {} };
    const container = containerOf(name, engine);
    const count = this.#counts.get(container) ?? 0;
    if (count >= MAX_HIJACKS)
      throw new HuskError(`${MAX_HIJACKS} streams of ${name} are open, which is the most`, {
        kind: 'limit',
        fix: 'end some of its attach and exec clients',
      });
    this.#counts.set(container, count + 1);
    return {
      [Symbol.dispose]: () => {
        const left = this.#counts.get(container)! - 1;
        if (left === 0) this.#counts.delete(container);
        else this.#counts.set(container, left);
      },
    };
  }
}

/** The container's id, however it was named. */
function containerOf(name: string, engine: Engine): string {
  for (const look of [() => engine.get(name).id, () => engine.execInspect(name).container]) {
    try {
      return look();
    } catch {
      // It is not of this kind, or it is not there, which is for the handler to say.
    }
  }
  return name;
}
