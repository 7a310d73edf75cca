/**
 * `network log`: what rules of `--egress` have refused, of one container, of a network, or of all; read as it is
 * written. Each container's is in its own folder.
 */
import { watch } from 'node:fs';
import { HuskError } from '../../errors.ts';
import { isOfRules, RefusalReader } from '../../network/egress/refusals.ts';
import { nanoseconds } from '../../state/time.ts';
import type { Container, RefusalOptions, RefusedConnection } from '../contract.ts';
import type { EngineContext } from '../record/context.ts';
import { resolve, resolveAll } from '../record/reconcile.ts';

/** ms; a notice may be lost, inotify watches may have run out, and containers come */
const LOOK_EVERY_MS = 1000;

export async function* refusals(
  context: EngineContext,
  options: RefusalOptions = {},
): AsyncGenerator<RefusedConnection> {
  const { since, follow, signal } = options;
  const from = since === undefined ? undefined : Number(nanoseconds(since) / 1_000_000n);
  const { containers, network } = await selection(context, options.of);
  const readers = new Map<string, RefusalReader>();
  using notices = new Notices();
  for (;;) {
    const found = containers().flatMap(({ id, name, config }): RefusedConnection[] => {
      const rules = config.options.egress ?? [];
      const folder = context.paths.container(id);
      const reader = readers.get(id) ?? new RefusalReader(folder);
      readers.set(id, reader);
      // before it is read: what is written from here on is noticed
      if (follow) notices.add(folder);
      return reader
        .next()
        .map((refusal) => ({ ...refusal, container: { id, name }, rules: isOfRules(refusal.reason) ? rules : [] }));
    });
    for (const refusal of found.sort((one, other) => one.time - other.time)) {
      if ((from !== undefined && refusal.time < from) || (network !== undefined && refusal.network !== network))
        continue;
      yield refusal;
      if (signal?.aborted) return;
    }
    if (!follow) return;
    await notices.next(LOOK_EVERY_MS, signal);
    if (signal?.aborted) return;
  }
}

/** A container of that name goes before a network of it. @throws HuskError not-found */
async function selection(
  context: EngineContext,
  of: string | undefined,
): Promise<{ containers: () => Pick<Container, 'id' | 'name' | 'config'>[]; network?: string }> {
  const all = () => resolveAll(context).filter(({ config }) => (config.options.egress ?? []).length > 0);
  if (of === undefined) return { containers: all };
  try {
    const { id } = resolve(context, of);
    return { containers: () => resolveAll(context).filter((each) => each.id === id) };
  } catch (error) {
    if (!(error instanceof HuskError) || error.kind !== 'not-found') throw error;
  }
  const network = (await context.networks()).find(of);
  if (!network) throw new HuskError(`No such container or network: ${of}`, { kind: 'not-found' });
  return { containers: all, network: network.name };
}

/** Waits until something is written into one of some folders. */
class Notices implements Disposable {
  readonly #watches = new Map<string, { close(): void }>();
  #notice: (() => void) | undefined;
  #isNoticed = false;

  add(folder: string): void {
    if (this.#watches.has(folder)) return;
    try {
      const watcher = watch(folder, { persistent: false }, () => {
        this.#isNoticed = true;
        this.#notice?.();
      });
      watcher.on('error', () => watcher.close());
      this.#watches.set(folder, watcher);
    } catch {
      // it was removed meanwhile, or there is no watch left: it is looked at now and then
    }
  }

  async next(patience: number, signal: AbortSignal | undefined): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, patience);
      this.#notice = () => {
        clearTimeout(timer);
        resolve();
      };
      if (this.#isNoticed || signal?.aborted) this.#notice();
      signal?.addEventListener('abort', this.#notice, { once: true });
    });
    this.#notice = undefined;
    this.#isNoticed = false;
  }

  [Symbol.dispose](): void {
    for (const watcher of this.#watches.values()) watcher.close();
  }
}
