/**
 * Makes a template: a machine that has booted until its agent waits to be told what it is, in two files. No container
 * of anybody's has been in it, but one of husk's own: what the agent and the guest's kernel do for a container the
 * first time takes up to twice as long, so they do it before they are saved. The template is tried once: on a host
 * where no machine goes on from what was saved, every start would fail.
 */
import { EXIT_HUSK_FAILED, HuskError } from '../../errors.ts';
import type { Spec } from '../../spec.ts';
import { assembleTemplate, ROOT_DEVICE, WRITABLE_DEVICE, type VmParts } from './assemble.ts';
import { Guest } from './guest.ts';
import { FIRST_PROCESS, GuestProcesses } from './processes.ts';
import { readState } from '../snapshot/machine-state.ts';
import type { MachineShape } from '../templates/shape.ts';

/** The container that is rehearsed. Its root is the agent's own disk. */
export interface Rehearsal {
  spec: Spec;
  /** path of an empty disk that the container writes to */
  disk: string;
}

interface Place {
  parts: VmParts;
  /** path of an empty folder */
  share: string;
  /** paths of the files, which are not there yet */
  state: string;
  memory: string;
}

/** what is on the agent's disk, and says at once that it is no program for a container */
const PROGRAM = ['/husk/husk-init', 'rehearsal'];
/** its exit code: EXIT_USAGE of guest/init/main.c */
const EXIT_USAGE = 2;

/**
 * @param place.rehearsal undefined: none; the first container is as slow as in a machine that boots
 * @throws HuskError when the machine does not come up, or does not go on from the files
 */
export async function makeTemplate(
  shape: MachineShape,
  { parts, share, rehearsal, ...files }: Place & { rehearsal?: Rehearsal | undefined },
): Promise<void> {
  const guest: Guest = new Guest(
    (hooks) => assembleTemplate(shape, { ...hooks, parts, share, disk: rehearsal?.disk }),
    {
      onNotice: (notice) => processes.settle(notice),
      onEnd: () => processes.settleAll({ code: EXIT_HUSK_FAILED }),
    },
  );
  const processes = new GuestProcesses(guest);
  await guest.saveWaiting(files, async () => {
    if (rehearsal) await rehearse(guest, processes, rehearsal.spec);
  });
  const template = { state: readState(files.state), memory: files.memory };
  const copy = new Guest((hooks) => assembleTemplate(shape, { ...hooks, parts, share, template }), ON_NOTHING, {
    serves: true,
  });
  await copy.tryOut();
}

const ON_NOTHING = { onNotice: () => {}, onEnd: () => {} };

/** Runs a container from its creation to its end. The machine has none afterwards, and no disk in use. */
async function rehearse(guest: Guest, processes: GuestProcesses, spec: Spec): Promise<void> {
  const { agent } = guest;
  await guest.configure({ shares: false, files: [] });
  const stdio = processes.openStdio({ stdin: false, terminal: false });
  await agent.request({
    type: 'create',
    spec: { ...spec, process: { ...spec.process, args: PROGRAM } },
    init: false,
    rootDevice: ROOT_DEVICE,
    writableDevice: WRITABLE_DEVICE,
    images: [],
    interfaces: [],
    streams: stdio.streams,
  });
  const { stdout, stderr, exited } = processes.expect(FIRST_PROCESS, stdio);
  const closed = [stdout, stderr].map((output) => new Promise((done) => void output?.resume().once('close', done)));
  await agent.request({ type: 'start' });
  const { code } = await exited;
  if (code !== EXIT_USAGE)
    throw new HuskError(`the template's own container ended with ${code}, not ${EXIT_USAGE}`, { kind: 'internal' });
  await Promise.all(closed);
  await agent.request({ type: 'forget', devices: [ROOT_DEVICE, WRITABLE_DEVICE] });
}
