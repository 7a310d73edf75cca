/**
 * A virtual machine with husk's agent in it, from boot to end. Whatever ends it becomes one error with the machine's
 * last words. Knows nothing of the container inside.
 */
import { randomBytes } from 'node:crypto';
import type { FileChange, GuestSocket, InterfaceSetup, Notice, StreamToken } from '../../agent-protocol.ts';
import { causeOf, EXIT_HUSK_FAILED, HuskError, TemplateFailed } from '../../errors.ts';
import { copyExtents, copySparseInTurns } from '../../host/files/copy-sparse.ts';
import { startTimer, within } from '../../long-timer.ts';
import { AgentClient, type Served } from '../agent-client.ts';
import { SHARES_TAG, type GuestBinds } from '../binds.ts';
import { ConsoleTail } from '../console-tail.ts';
import type { Block } from '../devices/block/device.ts';
import { Vsock } from '../devices/vsock/device.ts';
import { GuestClock } from '../guest-clock.ts';
import type { Machine, MachineEnd } from '../machine.ts';
import { checkWatched, checkWritten } from './answers.ts';
import type { ContainerInMachine } from '../snapshot/container-state.ts';
import { writeState } from '../snapshot/machine-state.ts';
import { MemoryFile, writeMemory } from '../snapshot/memory-file.ts';
import type { SavedFiles } from '../snapshot/saved-files.ts';
import type { Assembled, MachineHooks } from './assemble.ts';

// Each of these ends a container that might have gone on: on a host whose CPUs are all taken a machine gets a twentieth
// of one, and less.
/** ms a guest has to boot until its agent serves; a software KVM is a hundred times slower than hardware */
const BOOT_TIMEOUT = 300_000;
/**
 * ms the agent has to end its container before the machine is switched off; as often again as its disk is at work in
 * the meantime
 */
const SHUTDOWN_TIMEOUT = 60_000;
/**
 * ms after which a machine is switched off though its disk is at work: some 10 GB that the host had not written yet; a
 * hostile guest gets no longer
 */
const LONGEST_SHUTDOWN = 180_000;
/** ms for a question about what runs; the agent of a machine under full load answers late */
const ANSWER_TIMEOUT = 30_000;
/**
 * ms a machine whose agent is gone has to end by itself: a panic, or husk-init that resets it, tells more than a closed
 * connection
 */
const LOST_TIMEOUT = 20_000;
/** ms for the CPUs of a machine that does not boot to leave the guest, so that it can be told where they are */
const PAUSE_TIMEOUT = 5000;
/** ms that what was sent to the agent has to reach it before the machine is saved */
const HOLD_TIMEOUT = 10_000;
/** what a death tells of the machine's own complaints: the last ones; a guest makes as many as it likes */
const MAX_REPORTS = 3;

/** bytes that the guest's generator begins anew with */
const ENTROPY = 64;

/** What a guest is told first of all: the time, and what no other guest has. */
const fresh = (): { realtime: number; entropy: string } => ({
  realtime: Date.now(),
  entropy: randomBytes(ENTROPY).toString('base64'),
});

export interface GuestHooks {
  /** a process of the guest's has ended */
  onNotice: (notice: Exclude<Notice, { type: 'ready' }>) => void;
  /** @param error why; undefined: it was stopped from here */
  onEnd: (error: HuskError | undefined) => void;
}

export class Guest {
  readonly agent: AgentClient;
  readonly #console = new ConsoleTail();
  readonly #machine: Machine;
  readonly #disks: Assembled['disks'];
  readonly #clock: GuestClock;
  readonly #writable: Block;
  readonly #reports: string[] = [];
  readonly #onEnd: GuestHooks['onEnd'];
  readonly #isOfTemplate: boolean;
  /** why we switched the machine off */
  #switchedOff: HuskError | undefined;
  #isSaving = false;
  /** while its container stands still */
  #unpaused: PromiseWithResolvers<void> | undefined;
  #isOver = false;
  #ended: Promise<void> | undefined;

  /** @param options.serves the machine goes on from a snapshot, whose agent has called already */
  constructor(
    assemble: (hooks: MachineHooks) => Assembled,
    { onNotice, onEnd }: GuestHooks,
    { serves = false, saved }: Served = {},
  ) {
    this.#onEnd = onEnd;
    const vsock = new Vsock();
    this.agent = new AgentClient(
      vsock,
      { notice: onNotice, lost: ({ message }) => this.#lost(message) },
      { serves, saved },
    );
    // now: once the machine runs this process may make no timer descriptor any more
    this.#clock = new GuestClock((shift) =>
      this.agent.request({ type: 'clock', ...(shift !== undefined && { shift }) }),
    );
    const { machine, writable, disks } = assemble({
      vsock,
      onConsole: (bytes) => this.#console.push(bytes),
      onReport: (message) => {
        this.#reports.push(message);
        if (this.#reports.length > MAX_REPORTS) this.#reports.shift();
      },
      onCrowded: () => this.tell({ type: 'forget-names' }),
      onNews: (take) => this.#tellChanges(take),
    });
    this.#machine = machine;
    this.#writable = writable;
    this.#isOfTemplate = serves && !saved;
    this.#disks = this.#isOfTemplate ? disks : [];
  }

  /** The machine's end, once it runs. */
  get ended(): Promise<void> | undefined {
    return this.#ended;
  }

  /** @throws TemplateFailed when it went on from a template, and HuskError when it booted, and does not answer */
  async boot(
    binds: Pick<GuestBinds, 'shares' | 'files'> & { sockets?: readonly GuestSocket[] },
    { beforeRun, onAgent }: { beforeRun?: () => void; onAgent?: () => void },
  ): Promise<void> {
    beforeRun?.();
    await this.#run(async () => {
      onAgent?.();
      await this.configure(binds);
    }).catch((error: unknown) => {
      throw this.#isOfTemplate ? new TemplateFailed(causeOf(error), error) : error;
    });
    // The time was right when it was sent. A machine out of a template takes a while to wake up and read it, and
    // nothing of the container may see a clock that is behind by that.
    await this.#clock.look();
  }

  /** Tells the agent what its machine is: a template's is told once more when it goes on. */
  async configure({
    shares,
    files,
    sockets = [],
  }: Pick<GuestBinds, 'shares' | 'files'> & { sockets?: readonly GuestSocket[] }): Promise<void> {
    await this.agent.request({
      type: 'configure',
      ...fresh(),
      shares: shares ? [SHARES_TAG] : [],
      files,
      sockets: [...sockets],
      disks: [...this.#disks],
    });
  }

  /** Goes on with a machine that was saved with a container in it, which is another one from here on. */
  async adopt(
    identity: {
      files: GuestBinds['files'];
      hostname?: string | undefined;
      interfaces: InterfaceSetup[];
      names?: StreamToken | undefined;
    },
    { beforeRun, onAgent }: { beforeRun?: () => void; onAgent?: () => void },
  ): Promise<void> {
    // the connections that were saved come by process.nextTick, and are known by their ports no longer than until then
    await new Promise((turn) => setImmediate(turn));
    beforeRun?.();
    const { files, hostname, interfaces, names } = identity;
    await this.#run(async () => {
      onAgent?.();
      await this.agent.request({
        type: 'adopt',
        ...fresh(),
        files,
        interfaces,
        ...(hostname !== undefined && { hostname }),
        ...(names !== undefined && { names }),
      });
    });
    void this.#clock.look();
  }

  /**
   * Runs the machine until its agent serves.
   * @param ask the first request: the agent of a snapshot served when it was saved, and has to show that it does
   */
  async #run(ask?: () => Promise<void>): Promise<void> {
    this.agent.nothingKept();
    this.#ended = this.#machine.run().then((end) => this.#machineEnded(end));
    const cancel = startTimer(BOOT_TIMEOUT, () => void this.#bootFailed());
    try {
      await this.agent.ready();
      await ask?.();
    } finally {
      cancel();
    }
  }

  /**
   * Boots the machine until its agent waits for what it is to be, saves it as it is then, and ends it.
   * @param files paths of files that are not there yet
   * @param rehearse is done before that, and leaves no container in the machine
   */
  async saveWaiting(files: { state: string; memory: string }, rehearse: () => Promise<void>): Promise<void> {
    try {
      await this.#run(rehearse);
      await this.#machine.pause();
      writeState(await this.#machine.save(), files.state);
      writeMemory(this.#machine.memory, files.memory);
    } finally {
      await this.#stop();
    }
  }

  /** Lets the machine go on until its agent has answered, and ends it. @throws HuskError when it does not answer */
  async tryOut(): Promise<void> {
    try {
      await this.boot({ shares: false, files: [] }, {});
    } finally {
      await this.#stop();
    }
  }

  /** Ends a machine that has no container. */
  async #stop(): Promise<void> {
    this.#clock[Symbol.dispose]();
    await this.#machine.stop();
    await this.#ended;
    this.#machine[Symbol.dispose]();
  }

  /**
   * Saves the running machine and its disk as they are at one moment, and goes on. Most is copied before that moment,
   * while the container runs.
   * @param files paths of files that are not there yet
   * @param disk path of the writable disk
   * @param container what is to be saved with it; asked when nothing runs. @throws when it cannot be saved
   * @param frozen carries out what it is given while the container stands still
   */
  async save(
    files: SavedFiles,
    {
      disk,
      container,
      frozen,
    }: {
      disk: string;
      container: () => Omit<ContainerInMachine, 'agent'>;
      frozen: (work: () => Promise<void>) => Promise<void>;
    },
  ): Promise<void> {
    if (this.#isSaving) throw new HuskError('the machine is being saved already', { kind: 'conflict' });
    this.#isSaving = true;
    try {
      using memory = new MemoryFile(this.#machine.memory, files.memory);
      using written = this.#writable.noteWrites();
      await memory.begin();
      await copySparseInTurns(disk, files.disk);
      await frozen(() =>
        this.#atRest(async () => {
          const state = await this.#machine.save();
          writeState({ ...state, container: { ...container(), agent: this.agent.save() } }, files.state);
          memory.finish();
          copyExtents(disk, files.disk, written.ranges());
        }),
      );
    } finally {
      this.#isSaving = false;
    }
  }

  /** Carries out what it is given while no vCPU is in the guest, and the agent's connection is between two messages. */
  async #atRest(work: () => Promise<void>): Promise<void> {
    try {
      if ((await within(this.agent.hold(), HOLD_TIMEOUT)) === 'late')
        throw new HuskError("the guest's agent takes nothing: the machine cannot be saved", { kind: 'unavailable' });
      await this.#machine.pause();
      try {
        await work();
      } finally {
        this.#machine.resume();
      }
    } finally {
      this.agent.release();
    }
  }

  /** Gives the host the machine's memory, whose content goes into a file. @param path it is not there yet */
  async swapOut(path: string): Promise<void> {
    if (this.#isSaving) throw new HuskError('the machine is being saved already', { kind: 'conflict' });
    this.#isSaving = true;
    try {
      await this.#machine.pause();
      try {
        await this.#machine.swapOut(path);
      } finally {
        this.#machine.resume();
      }
    } finally {
      this.#isSaving = false;
    }
  }

  /** The kernel may not have got as far as its console: what it was at is all that can be told. */
  async #bootFailed(): Promise<void> {
    const found = this.#machine.where().catch((error: unknown) => String(error));
    const inTime = await within(found, PAUSE_TIMEOUT, { unref: true });
    const where = inTime === 'late' ? 'its CPUs do not leave the guest' : inTime;
    this.agent.fail(this.#death(`its agent did not answer within ${BOOT_TIMEOUT / 1000} s (${where})`));
  }

  /**
   * Programs that stand still hear of nothing until they go on, and a machine whose memory is swapped out is left
   * alone.
   */
  setPaused(isPaused: boolean): void {
    if (!isPaused) this.#unpaused?.resolve();
    this.#unpaused = isPaused ? (this.#unpaused ?? Promise.withResolvers()) : undefined;
  }

  /** @returns whether anybody in the guest watches. @throws HuskError */
  async #tellChanges(take: () => FileChange[]): Promise<boolean> {
    await this.#unpaused?.promise;
    const changes = take();
    return changes.length > 0 && checkWatched(await this.agent.request({ type: 'changes', changes }));
  }

  /** A request whose failure is that of the machine, which is told elsewhere. */
  tell(request: Parameters<AgentClient['request']>[0]): void {
    this.agent.request(request).catch(() => {});
  }

  /** The answer, if it comes: a guest that says nothing must not keep a person waiting for ever. */
  async answered(request: Parameters<AgentClient['request']>[0]): Promise<unknown> {
    const answer = await within(this.#asked(request), ANSWER_TIMEOUT);
    if (answer === 'late')
      throw new HuskError(`the guest's agent did not answer within ${ANSWER_TIMEOUT / 1000} s`, {
        kind: 'unavailable',
      });
    return answer.value;
  }

  /** The answer in an object of its own: a guest may well answer with the word that `within` has for no answer. */
  #asked(request: Parameters<AgentClient['request']>[0]): Promise<{ value: unknown }> {
    return this.agent.request(request).then((value) => ({ value }));
  }

  /** The agent is gone or lies: nothing in the guest will do as it is told. */
  #lost(why: string): void {
    startTimer(LOST_TIMEOUT, () => this.switchOff(why), { unref: true });
  }

  /** Ends a machine that cannot be talked to. Its container is as good as killed. */
  switchOff(why: string): void {
    this.#switchedOff ??= this.#death(why);
    this.agent.fail(this.#switchedOff);
    void this.#machine.stop();
  }

  #machineEnded(end: MachineEnd): void {
    this.#isOver = true;
    const { panic } = this.#console;
    const why = {
      reset: panic === undefined ? 'it reset itself' : `its kernel panicked (${panic})`,
      stopped: 'it was stopped',
      'triple-fault': 'its CPU gave up (triple fault)',
      failed: end.kind === 'failed' ? end.message : '',
    }[end.kind];
    const death = this.#switchedOff ?? this.#death(why);
    this.agent.fail(death);
    const wanted = end.kind === 'stopped' && this.#switchedOff === undefined;
    this.#onEnd(wanted ? undefined : death);
  }

  #death(why: string): HuskError {
    const tail = [...this.#reports, ...this.#console.lines()].join(' | ');
    return new HuskError(
      `the virtual machine of the container ended: ${why}${tail === '' ? '' : `; its last lines: ${tail}`}`,
      { kind: 'start-failed', exitCode: EXIT_HUSK_FAILED },
    );
  }

  /** @throws HuskError when what the container wrote last may not be on its disk */
  async end(): Promise<number | undefined> {
    let written: number | undefined;
    let loss: string | undefined;
    this.#clock[Symbol.dispose]();
    if (this.#ended) {
      const answer = await this.#shutDown().catch((error: unknown) => {
        // a machine that has ended by itself has told why
        if (!this.#isOver && this.#switchedOff === undefined)
          loss = error instanceof Error ? error.message : String(error);
        return undefined;
      });
      written = checkWritten(answer);
      await this.#machine.stop();
      await this.#ended;
    }
    this.#machine[Symbol.dispose]();
    if (loss !== undefined)
      throw new HuskError(`the container's disk was not unmounted, and what it wrote last may be lost: ${loss}`, {
        kind: 'internal',
      });
    return written;
  }

  /**
   * The agent unmounts the writable disk; a guest that will not is switched off, but not while the host writes what it
   * was given.
   */
  async #shutDown(): Promise<unknown> {
    const start = performance.now();
    let seen = this.#writable.state.bytesWritten;
    const asked = this.#asked({ type: 'shutdown' });
    for (;;) {
      const answer = await within(asked, SHUTDOWN_TIMEOUT);
      if (answer !== 'late') return answer.value;
      const { bytesWritten } = this.#writable.state;
      const elapsed = performance.now() - start;
      const isAtWork = bytesWritten !== seen || this.#writable.isFlushing;
      if (!isAtWork || elapsed >= LONGEST_SHUTDOWN)
        throw new HuskError(`its machine was not done after ${Math.round(elapsed / 1000)} s`, { kind: 'unavailable' });
      seen = bytesWritten;
    }
  }
}
