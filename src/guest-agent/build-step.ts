/** One step of a build in the guest: its plan, its cgroup, its network, and its end. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { GuestBuildStep, InterfaceSetup, ProcessStreams } from '../agent-protocol.ts';
import { explainStepError } from '../container/build/failure.ts';
import { emptyUpper, prepareMounts, type MountFolder, type StepMount } from '../container/build/mounts.ts';
import { ContainerCgroup } from '../container/cgroup/cgroup.ts';
import { planContainer } from '../container/plan.ts';
import { pidfdOpen, pidfdSignal } from '../host/kernel/process.ts';
import { launch } from '../launch/executor.ts';
import { after } from '../long-timer.ts';
import { SIGKILL } from '../notation/signals.ts';
import { INIT_PROGRAM } from '../program.ts';
import type { Mount } from '../spec.ts';
import { holdDevices, KILLABLE, withDevices } from './devices.ts';
import { giveInterfaces } from './network-interface.ts';
import { sendOutput } from './streams.ts';
import { Rtnetlink } from '../host/streams/rtnetlink.ts';

/**
 * ms for the interfaces of the step before to come back, and between two looks: the kernel takes its namespace apart
 */
const INTERFACE_PATIENCE = 20_000;
const LOOK = 20;

interface StepExit {
  code: number;
  signal?: number;
  oomKilled?: boolean;
}

export interface RunningStep {
  /** to every process of the step */
  signal(signal: number): void;
  /** all that it has printed has been sent; never rejects */
  readonly exited: Promise<StepExit>;
}

interface Place {
  /** of its cgroup */
  name: string;
  /** a folder of its own, which is empty */
  folder: string;
  cgroups: string;
  streams: ProcessStreams;
}

/** @throws HuskError `start-failed` where the command is not there, or cannot be executed */
export async function startStep(
  step: Omit<GuestBuildStep, 'lower' | 'mounts'> & { lower: readonly string[]; mounts: readonly StepMount[] },
  { name, folder: path, cgroups, streams }: Place,
): Promise<RunningStep> {
  const { interfaces } = step;
  const folder = new Folder(path);
  const root = { kind: 'overlay' as const, lower: [...step.lower], ...emptyUpper(folder) };
  const stubs = { upper: folder.make('stubs'), work: folder.make('stubs-work'), empty: folder.make('empty') };
  const prepared = prepareMounts(step.mounts, folder);
  const spec = withDevices({
    ...step.spec,
    mounts: [...step.spec.mounts, ...ownFiles(step.files, folder), ...prepared.mounts],
  });
  const cgroup = ContainerCgroup.create(name, spec.linux.resources ?? {}, { parent: cgroups, supervisor: process.pid });
  if (!spec.linux.allDevices) holdDevices(cgroup.path, spec.linux);
  const plan = planContainer(
    spec,
    { ...root, stubs },
    {
      rootless: false,
      // A layer's folder has the same form as on the host.
      userXattr: true,
      cgroup2: true,
      waitFor: { cgroup: true, network: interfaces.length > 0 },
      prepare: prepared.steps,
    },
  );
  const launched = launch([KILLABLE, ...plan], {
    init: INIT_PROGRAM,
    stdin: 'null',
    stdout: 'pipe',
    stderr: 'pipe',
    onAwait: async (tag, pid) => {
      if (tag === 'cgroup') cgroup.enter(pid);
      else if (tag === 'network') {
        await interfacesHere(interfaces);
        giveInterfaces(pid, interfaces);
      }
    },
  });
  try {
    await launched.started;
  } catch (error) {
    launched.stdout!.resume();
    launched.stderr!.resume();
    await launched.exited;
    await cgroup.remove();
    throw explainStepError(error);
  }
  const outputs = [sendOutput(launched.stdout!, streams.stdout), sendOutput(launched.stderr!, streams.stderr)];
  const ended = async (): Promise<StepExit> => {
    const { code, signal } = await launched.exited;
    // Its pid namespace is gone, and with it whoever could write.
    await Promise.all(outputs.map((output) => output.flushed()));
    const oomKilled = cgroup.oomKilled();
    await cgroup.remove().catch((error: unknown) => console.error(`agent: cgroup of ${name}: ${String(error)}`));
    return { code, ...(signal !== undefined && { signal }), ...(oomKilled && { oomKilled }) };
  };
  return {
    signal: (signal) => {
      if (signal === SIGKILL) return launched.signal(signal);
      for (const pid of cgroup.processes()) signalPid(pid, signal);
    },
    exited: ended(),
  };
}

/** Folders on the machine's own disk: this process is root, as the container's is. */
class Folder implements MountFolder {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  make(name: string): string {
    const path = join(this.#path, name);
    mkdirSync(path, { mode: 0o755 });
    return path;
  }

  makeWork(name: string): string {
    return this.make(name);
  }

  write(name: string, content: string, mode: number): string {
    const path = join(this.#path, name);
    writeFileSync(path, content, { mode, flag: 'wx' });
    chmodSync(path, mode);
    return path;
  }
}

const ownFiles = (files: GuestBuildStep['files'], folder: Folder): Mount[] =>
  files.map(({ path, content, mode, readOnly }, index) => ({
    destination: path,
    type: 'bind',
    source: folder.write(`file-${index}`, content, mode),
    options: ['bind', 'nosuid', 'nodev', ...(readOnly ? ['ro'] : []), 'rprivate'],
  }));

/** A network device comes back to the machine when the namespace it was in is taken apart, which takes a moment. */
async function interfacesHere(setups: readonly InterfaceSetup[]): Promise<void> {
  using own = Rtnetlink.open();
  const isHere = ({ mac }: InterfaceSetup): boolean => own.links().some((link) => link.mac === mac);
  for (const start = performance.now(); !setups.every(isHere) && performance.now() - start < INTERFACE_PATIENCE;)
    await after(LOOK);
}

function signalPid(pid: number, signal: number): void {
  try {
    using process = pidfdOpen(pid);
    pidfdSignal(process.number, signal);
  } catch {
    // It has ended meanwhile.
  }
}
