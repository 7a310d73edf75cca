/**
 * Containers that rules name, as they come to the networks of the one that has the rules, and go: their addresses are
 * read from the records at each change of these, and before a name is answered. Nothing is polled.
 */
import { watch, type FSWatcher } from 'node:fs';
import type { IpAddress } from '../../notation/ip.ts';
import { bytesOfAddress } from '../names/address.ts';
import type { EgressGroup } from './grouping.ts';
import { addressOf } from './ranges.ts';

interface NeighbourChange {
  group: number;
  address: IpAddress;
  what: 'add' | 'remove';
}

export interface NeighboursOptions {
  groups: readonly EgressGroup[];
  /** the addresses of a name on one network */
  find(networkId: string, name: string): string[];
  /** makes the packet filter so, or throws */
  apply(networkId: string, changes: readonly NeighbourChange[]): void;
  /** the database: its journal, which lies beside it, is written to at every change */
  database: string;
  problem(error: unknown): void;
}

/** of one container on one network: a name's owner may take as many aliases and containers as he likes */
const MOST_NEIGHBOURS = 1024;

export class Neighbours {
  readonly #options: NeighboursOptions;
  /** by network: what is let through, as text with its group */
  readonly #present = new Map<string, Map<string, { group: number; address: IpAddress; text: string }>>();
  #watcher: FSWatcher | undefined;
  #isPending = false;

  constructor(options: NeighboursOptions) {
    this.#options = options;
  }

  get isNeeded(): boolean {
    return this.#options.groups.some(({ neighbours }) => neighbours.length > 0);
  }

  /** From now on those of this network are let through. @throws what `apply` does */
  add(networkId: string): void {
    this.#present.set(networkId, new Map());
    if (!this.isNeeded) return;
    this.#watcher ??= this.#watch();
    this.#update(networkId);
  }

  /** The container is not on it any more. */
  forget(networkId: string): void {
    this.#present.delete(networkId);
  }

  /** Whether a rule's name means this address now. */
  has(text: string): boolean {
    return [...this.#present.values()].some((known) => [...known.values()].some((each) => each.text === text));
  }

  /** What changed since. @throws what `apply` does */
  update(): void {
    if (!this.isNeeded) return;
    for (const networkId of this.#present.keys()) this.#update(networkId);
  }

  #update(networkId: string): void {
    const before = this.#present.get(networkId)!;
    const wanted = this.#find(networkId);
    const changes = [
      ...[...before].filter(([key]) => !wanted.has(key)).map(([, each]) => ({ ...each, what: 'remove' as const })),
      ...[...wanted].filter(([key]) => !before.has(key)).map(([, each]) => ({ ...each, what: 'add' as const })),
    ];
    if (changes.length === 0) return;
    this.#options.apply(networkId, changes);
    this.#present.set(networkId, wanted);
  }

  #find(networkId: string): Map<string, { group: number; address: IpAddress; text: string }> {
    const found = new Map<string, { group: number; address: IpAddress; text: string }>();
    this.#options.groups.forEach(({ neighbours }, group) => {
      for (const name of neighbours)
        for (const text of this.#options.find(networkId, name)) {
          const bytes = bytesOfAddress(text);
          if (bytes && found.size < MOST_NEIGHBOURS)
            found.set(`${group} ${text}`, { group, address: addressOf(bytes), text });
        }
    });
    return found;
  }

  /** A change of records is many writes: they are looked at once, when the event loop is free. */
  #watch(): FSWatcher {
    const watcher = watch(`${this.#options.database}-wal`, () => {
      if (this.#isPending) return;
      this.#isPending = true;
      setImmediate(() => {
        this.#isPending = false;
        try {
          if (this.#watcher) this.update();
        } catch (error) {
          this.#options.problem(error);
        }
      });
    });
    watcher.on('error', this.#options.problem);
    return watcher.unref();
  }

  close(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#present.clear();
  }
}
