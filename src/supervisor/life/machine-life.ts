/**
 * The networks of a virtual machine, as its monitor has them: what was made for it before it was born is its to the end
 * of its last life, restarts included. It can make and change nothing of them; at the end it gives back its addresses
 * and ports, and the taps go with the process.
 */
import type { DatabaseSync } from 'node:sqlite';
import { HuskError } from '../../errors.ts';
import { Fd } from '../../host/fd.ts';
import type { MachineNetworks } from '../../network/attach/machine.ts';
import { endForwarder } from '../../network/forwarder.ts';
import { releaseNetworks } from '../../network/records/release.ts';
import { transaction } from '../../state/database.ts';
import type { LifeNetworks } from './life-networks.ts';

export interface MachineLifeOptions {
  id: string;
  networks: MachineNetworks;
  database: DatabaseSync;
  /** the descriptor with whose last copy the forwarder of its ports ends */
  forwarder: number | undefined;
}

export class MachineLife implements LifeNetworks {
  readonly warnings: LifeNetworks['warnings'];
  readonly #options: MachineLifeOptions;
  #forwarder: Fd | undefined;

  constructor(options: MachineLifeOptions) {
    this.#options = options;
    this.warnings = options.networks.warnings;
    this.#forwarder = options.forwarder === undefined ? undefined : new Fd(options.forwarder);
  }

  get state(): LifeNetworks['state'] {
    const { endpoints, published } = this.#options.networks;
    return { endpoints, published };
  }

  begin(): undefined {
    return undefined;
  }

  async end(): Promise<void> {
    // the next life has the same addresses
  }

  async release(): Promise<void> {
    const { database, id } = this.#options;
    const forwarder = this.#forwarder;
    this.#forwarder = undefined;
    if (forwarder) await endForwarder(forwarder);
    transaction(database, () => releaseNetworks(database, id));
  }

  clear(): void {
    // the taps are this process's, which ends
  }

  async connect(): Promise<never> {
    throw this.#isAMachine();
  }

  async disconnect(): Promise<never> {
    throw this.#isAMachine();
  }

  #isAMachine(): HuskError {
    return new HuskError(
      `container ${this.#options.id} runs in a virtual machine, whose networks are those of its start`,
      {
        kind: 'unsupported',
        fix: 'stop it, change its networks, start it again',
      },
    );
  }
}
