/**
 * The container that a supervisor is for, whatever it does at the moment: its task, its record, its folder, the socket
 * that stands for it. Carries out what container-life.ts decides, and decides nothing.
 */
import { mkdirSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { jailedRandomHex } from '../../host/kernel/random.ts';
import { openLog } from '../../logs/open.ts';
import type { LogSink } from '../../logs/sink.ts';
import { paths as computePaths, type Paths } from '../../paths.ts';
import type { Sandbox } from '../../sandbox.ts';
import { ContainerStore } from '../../state/containers.ts';
import { openDatabase } from '../../state/database.ts';
import { removeAccess, writeAccess } from '../protocol/access.ts';
import { LifeRecord } from './life-record.ts';
import type { RestartPolicy, Task } from '../protocol/protocol.ts';
import { removeRecordAndFolder } from './removal.ts';

/** 256 bits: nobody guesses what a client must say */
const KEY_BYTES = 32;

/**
 * Called before the command runs: whoever sees `running` must be able to connect.
 * @param key what a client must say first
 * @returns ends it and takes the socket away
 */
export type Listen = (socket: string, key: string) => Promise<() => void>;

export class HeldContainer {
  readonly task: Task;
  readonly paths: Paths;
  readonly record: LifeRecord;
  /** `husk update --restart` replaces the task's */
  policy: RestartPolicy;
  readonly #database: DatabaseSync;
  readonly #store: ContainerStore;
  #stopListening = () => {};

  constructor(task: Task) {
    this.task = task;
    this.policy = task.restart;
    this.paths = computePaths({ dataRoot: task.dataRoot, runtimeDir: task.runtimeDir });
    this.#database = openDatabase(this.paths.database);
    this.#store = new ContainerStore(this.#database);
    this.record = new LifeRecord(this.#database, this.#store, task);
  }

  /** containers/<id> */
  get folder(): string {
    return this.paths.container(this.task.id);
  }

  /** Whoever created the container may have been killed between its record and its folder. */
  makeFolder(): void {
    mkdirSync(this.folder, { recursive: true, mode: 0o711 });
  }

  async listen(listen: Listen): Promise<void> {
    const { id } = this.task;
    const access = { socket: this.paths.socket(id), key: jailedRandomHex(KEY_BYTES) };
    writeAccess(this.paths, id, access);
    const stop = await listen(access.socket, access.key);
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

  async removeVolumes(): Promise<void> {
    const { mounts } = this.task;
    if (!mounts.some(({ type }) => type === 'volume')) return;
    const { openVolumes } = await import('../../volumes/volumes.ts');
    const inUse = (name: string) => this.#store.usersOfVolume(name);
    await openVolumes({ database: this.#database, paths: this.paths, inUse }).removeAnonymous(mounts);
  }

  /** The start failed, and who asked for it hears why; so does the record. */
  async startFailed(error: unknown): Promise<void> {
    this.stopListening();
    this.record.startFailed(error);
    if (!this.task.autoRemove) return;
    await this.remove()();
    await this.removeVolumes();
  }

  /** Gives back the sandbox by which its files were used, and the claim. */
  async releaseFiles(sandbox: Sandbox | undefined): Promise<void> {
    const written = await sandbox?.destroy().catch(() => undefined);
    this.stopListening();
    this.record.released(written);
  }
}
