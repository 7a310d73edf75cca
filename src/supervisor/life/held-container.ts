/**
 * The container that a supervisor is for, whatever it does at the moment: its task, its record, its folder, the socket
 * that stands for it. Carries out what container-life.ts decides, and decides nothing.
 */
import { mkdirSync, rmSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { causeOf, HuskError } from '../../errors.ts';
import { jailedRandomHex } from '../../host/kernel/random.ts';
import { openLog } from '../../logs/open.ts';
import type { LogSink } from '../../logs/sink.ts';
import type { MachineNameContext } from '../../network/attach/machine-names.ts';
import { paths as computePaths, type Paths } from '../../paths.ts';
import type { Sandbox } from '../../sandbox.ts';
import { ContainerStore } from '../../state/containers.ts';
import { openDatabase } from '../../state/database.ts';
import { savedFolder } from '../../vmm/snapshot/saved-files.ts';
import { removeAccess, writeAccess } from '../protocol/access.ts';
import type { Descriptors } from '../protocol/descriptors.ts';
import { ExecRecord } from './exec-record.ts';
import { LifeRecord } from './life-record.ts';
import type { MachineNetworks } from '../../network/attach/machine.ts';
import type { LifeNetworks } from './life-networks.ts';
import type { RestartPolicy, Saved, Task, TaskNetworks, Warning } from '../protocol/protocol.ts';
import { removeRecordAndFolder } from './removal.ts';

/** 256 bits: nobody guesses what a client must say */
const KEY_BYTES = 32;

/**
 * Called before the command runs: whoever sees `running` must be able to connect.
 * @param key what a client must say first
 * @returns ends it and takes the socket away
 */
export type Listen = (socket: string, key: string) => () => void;

export class HeldContainer {
  readonly task: Task;
  readonly paths: Paths;
  readonly record: LifeRecord;
  readonly execs: ExecRecord;
  /** `husk update --restart` replaces the task's */
  policy: RestartPolicy;
  /** what whoever starts it is told, besides what its networks tell */
  readonly warnings: Warning[] = [];
  readonly #database: DatabaseSync;
  readonly #store: ContainerStore;
  #stopListening = () => {};
  #networks: LifeNetworks | undefined;
  readonly #descriptors: Descriptors;

  /** @param descriptors what this process was born with */
  constructor(task: Task, descriptors: Descriptors = {}) {
    this.task = task;
    this.#descriptors = descriptors;
    this.policy = task.restart;
    this.paths = computePaths({ dataRoot: task.dataRoot, runtimeDir: task.runtimeDir });
    this.#database = openDatabase(this.paths.database);
    this.#store = new ContainerStore(this.#database);
    this.record = new LifeRecord(this.#database, this.#store, task);
    this.execs = new ExecRecord(this.#database, {
      container: task.id,
      // those in a VM are the guest's
      hasPids: task.isolation === 'userns',
      event: (action, attributes) => this.record.event(action, attributes),
    });
  }

  /** containers/<id> */
  get folder(): string {
    return this.paths.container(this.task.id);
  }

  /** Whoever created the container may have been killed between its record and its folder. */
  makeFolder(): void {
    mkdirSync(this.folder, { recursive: true, mode: 0o711 });
  }

  /** undefined for one that is on no network of husk's, for which nothing is loaded */
  get networks(): LifeNetworks | undefined {
    return this.#networks;
  }

  /** @param wanted of one that is put on its first network while it runs */
  async openNetworks(wanted: TaskNetworks | undefined = this.task.networks): Promise<LifeNetworks | undefined> {
    const { id, dataRoot, runtimeDir, machine, isolation } = this.task;
    if (this.#networks || !wanted) return this.#networks;
    if (isolation === 'vm') return machine && this.#openMachine(machine);
    const { ContainerNetworks } = await import('./networks.ts');
    const networks = await ContainerNetworks.create({
      id,
      wanted,
      database: this.#database,
      dataRoot,
      runtimeDir,
      folder: this.folder,
      name: () => this.record.attributes()['name'] ?? id,
      problem: (error) => this.event('network_error', { error }),
    });
    return (this.#networks ??= networks);
  }

  async #openMachine(networks: MachineNetworks): Promise<LifeNetworks> {
    const { MachineLife } = await import('./machine-life.ts');
    const forwarder = this.#descriptors.forwarder?.[0];
    return (this.#networks ??= new MachineLife({ id: this.task.id, networks, database: this.#database, forwarder }));
  }

  /** what a VM's name server answers out of */
  get names(): MachineNameContext {
    let told = false;
    const problem = (error: unknown) => {
      // what a guest asks can go wrong as often as it likes
      if (!told) this.event('network_error', { error: `its name server: ${causeOf(error)}` });
      told = true;
    };
    return { database: this.#database, problem };
  }

  listen(listen: Listen): void {
    const { id } = this.task;
    const access = { socket: this.paths.socket(id), key: jailedRandomHex(KEY_BYTES) };
    writeAccess(this.paths, id, access);
    const stop = listen(access.socket, access.key);
    this.#stopListening = () => {
      this.#stopListening = () => {};
      stop();
      removeAccess(this.paths, id);
    };
  }

  /**
   * Comes before the record says that this life is over: from then on the path is the next supervisor's. Idempotent.
   */
  stopListening(): void {
    this.#stopListening();
  }

  /** An event of the container. One that cannot be written is lost: the disk may be full, and the container goes on. */
  event(action: string, attributes?: Record<string, string>): void {
    try {
      this.record.event(action, attributes);
    } catch {
      // nobody to tell, nothing to undo
    }
  }

  openLog(): Promise<LogSink> {
    const { log, isolation } = this.task;
    return openLog(log, {
      folder: this.folder,
      container: log.container,
      confined: isolation === 'vm',
      onTrouble: (message) => this.event('log_error', { error: message }),
    });
  }

  /**
   * After the record says `removing`: the name is free and the record gone. @returns deletes the bytes, which is slow
   */
  remove(): () => Promise<void> {
    return removeRecordAndFolder(
      { database: this.#database, store: this.#store, paths: this.paths },
      this.task.id,
      this.record.attributes(),
    );
  }

  /** @returns after the files are whole; a failure leaves none. @throws HuskError `conflict`, `unsupported` */
  async save(sandbox: Sandbox): Promise<Saved> {
    const { id } = this.task;
    if (!sandbox.save)
      throw new HuskError(`the processes of container ${id} cannot be saved: it runs in user namespaces`, {
        kind: 'unsupported',
      });
    if (this.record.status !== 'running')
      throw new HuskError(`container ${id} is ${this.record.status}, and cannot be saved`, { kind: 'conflict' });
    const folder = savedFolder(this.folder);
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { mode: 0o700 });
    try {
      return await sandbox.save(folder);
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  async removeVolumes(): Promise<void> {
    const { mounts } = this.task;
    if (!mounts.some(({ type }) => type === 'volume')) return;
    const { openVolumes } = await import('../../volumes/volumes.ts');
    const inUse = (name: string) => this.#store.usersOfVolume(name);
    await openVolumes({ database: this.#database, paths: this.paths, inUse }).removeAnonymous(mounts);
  }

  /** The start failed, and who asked for it hears why; so does the record. */
  async startFailed(error: unknown): Promise<void> {
    await this.#endNetworks();
    this.record.startFailed(error);
    this.#networks?.clear();
    if (!this.task.autoRemove) return;
    await this.remove()();
    await this.removeVolumes();
  }

  /** The start failed for no reason of the container's: who asked for it starts it once more. */
  async startAgain(): Promise<void> {
    await this.#endNetworks();
    this.record.released(undefined);
    this.#networks?.clear();
  }

  async #endNetworks(): Promise<void> {
    this.stopListening();
    await this.#networks?.end();
    await this.#networks?.release();
  }

  /** Gives back the sandbox by which its files were used, and the claim. */
  async releaseFiles(sandbox: Sandbox | undefined): Promise<void> {
    const written = await sandbox?.destroy().catch(() => undefined);
    this.stopListening();
    this.record.released(written);
  }
}
