/**
 * Runs the program that gets what a build takes from the network (src/engine/build/fetch/main.ts), in a sandbox of its
 * own: its root has the host's programs, libraries and certificates, read-only, husk's own code and one folder to write
 * to. It has no capability and cannot get one, the seccomp filter of any container, and a network namespace with the
 * rules of a RUN, unless the caller gives it the host's. Everything ends with it, and it with this process.
 */
import { lstatSync, readlinkSync, symlinkSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { isUnified, CGROUP_ROOT } from '../../container/cgroup/delegation.ts';
import { planContainer } from '../../container/plan.ts';
import { seccompFor } from '../../container/seccomp/profile.ts';
import { launch, type Launched, type Sockets } from '../../launch/executor.ts';
import { explainLaunchError } from '../../launch/failure.ts';
import { SIGKILL } from '../../notation/signals.ts';
import type { Paths } from '../../paths.ts';
import { INIT_PROGRAM, INTERNAL, OWN_CODE, SELF } from '../../program.ts';
import type { Mount, Seccomp, Spec } from '../../spec.ts';
import { idMaps } from '../idmap.ts';
import { reachSteps } from '../reach.ts';
import { holdUsersNamespace, newUserNamespace } from '../users-namespace.ts';
import { prepareMounts } from '../../container/build/mounts.ts';
import type { StepNetwork } from './sandbox.ts';
import { StepFolder } from './step-folder.ts';

/** what programs are made of: with a merged /usr all but the first are links, which are made again */
const PROGRAMS = ['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32'];
/** of the host's /etc: whom to trust, and where libraries are */
const SETTINGS = ['/etc/ssl/certs', '/etc/ca-certificates', '/etc/pki', '/etc/ld.so.cache'];
const READ_ONLY = ['rbind', 'ro', 'nosuid', 'nodev', 'rprivate'];
/** in the sandbox: where husk's own code, which stays at its place, never lies */
const WORK = '/run/husk-work';
const AGENT = '/run/husk-ssh-agent';
const KNOWN_HOSTS = '/etc/ssh_known_hosts';
const FOLDER_MODE = 0o755;
const FILE_MODE = 0o644;
const AGENT_MODE = 0o600;
/** characters of STDERR that are kept */
const MAX_COMPLAINT = 4096;

export interface FetchSandboxOptions {
  paths: Pick<Paths, 'dataRoot'>;
  /** a path in tmp/ where nothing is, which is swept when this process is gone */
  folder: string;
  /** absent: the host's own */
  network?: StepNetwork;
  /** contents of the sandbox's files */
  hosts: string;
  resolvConf: string;
  /** for ssh: the socket of an agent, of which keys are listed and used, and the keys of hosts (ssh_known_hosts(5)) */
  ssh?: { agent: string; knownHosts: string };
  /** bytes that a file in the sandbox may have */
  maxFile: number;
  /** NAME=value, besides the sandbox's own */
  env?: readonly string[];
}

export interface FetchProgram extends AsyncDisposable {
  readonly stdin: NonNullable<Launched['stdin']>;
  readonly stdout: NonNullable<Launched['stdout']>;
  /** variables by which ssh finds agent and keys */
  readonly env: Record<string, string>;
  /** @returns what it said on STDERR, when it has ended */
  readonly ended: Promise<string>;
  kill(): void;
}

let filter: Seccomp | undefined;

/** @throws HuskError `unsupported` where this host or user cannot have the namespaces; later failures end `stdout` */
export async function startFetchProgram(options: FetchSandboxOptions): Promise<FetchProgram> {
  const { paths, network, ssh } = options;
  await using unwound = new AsyncDisposableStack();
  unwound.defer(async () => network?.close());
  const maps = idMaps();
  const users = network?.users ?? (await holdUsersNamespace(paths.dataRoot));
  const folder = new StepFolder(options.folder, maps);
  unwound.defer(() => folder.remove());
  const root = makeRoot(folder, options);
  const prepared = prepareMounts(ssh ? [await agentMount(ssh.agent, folder, unwound)] : [], folder);
  const work = folder.make('work');
  const spec: Spec = {
    ...specOf(options),
    mounts: [
      ...programs(),
      { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755', 'size=64k'] },
      { destination: WORK, type: 'bind', source: work, options: ['bind', 'nosuid', 'nodev', 'noexec', 'rprivate'] },
      ...prepared.mounts,
    ],
  };
  let sockets: Sockets = {};
  const launched = launch(
    [
      ...(maps.direct ? reachSteps({ kept: [folder.path, ...OWN_CODE, SELF[0]] }) : []),
      ...planContainer(
        spec,
        { kind: 'directory', path: root },
        {
          rootless: true,
          userNamespace: newUserNamespace(maps, users),
          ...(network && { sockets: network.sockets }),
          cgroup2: isUnified(CGROUP_ROOT),
          waitFor: { network: network !== undefined },
          filterCache: join(paths.dataRoot, 'cache/seccomp'),
          prepare: prepared.steps,
        },
      ),
    ],
    {
      init: INIT_PROGRAM,
      stdin: 'pipe',
      stdout: 'pipe',
      stderr: 'pipe',
      onSockets: (made) => void (sockets = made),
      onAwait: async (tag, pid) => {
        if (tag === 'network') await network?.connect(pid, sockets);
      },
    },
  );
  // It may end before it has read what it is told.
  launched.stdin!.on('error', () => {});
  let complaint = '';
  launched
    .stderr!.setEncoding('utf8')
    .on('data', (text: string) => (complaint = (complaint + text).slice(0, MAX_COMPLAINT)));
  const kill = (): void => void launched.pid.then(() => launched.signal(SIGKILL)).catch(() => {});
  unwound.defer(async () => {
    kill();
    launched.stdout!.destroy();
    await launched.exited;
  });
  try {
    await launched.started;
  } catch (error) {
    throw explainLaunchError(error, 'create');
  }
  const held = unwound.move();
  return {
    stdin: launched.stdin!,
    stdout: launched.stdout!,
    env: ssh ? sshVariables() : {},
    ended: launched.exited.then(() => complaint),
    kill,
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

function makeRoot(folder: StepFolder, { hosts, resolvConf, ssh }: FetchSandboxOptions): string {
  const root = folder.make('root');
  for (const name of ['etc', 'run', 'tmp', 'dev', 'proc']) folder.make(`root/${name}`, FOLDER_MODE);
  const files: Record<string, string> = {
    '/etc/hosts': hosts,
    '/etc/resolv.conf': resolvConf,
    '/etc/nsswitch.conf': 'hosts: files dns\n',
    // ssh(1) wants to know who it is.
    '/etc/passwd': `root:x:0:0:root:${WORK}:/bin/false\n`,
    ...(ssh && { [KNOWN_HOSTS]: ssh.knownHosts }),
  };
  for (const [path, text] of Object.entries(files)) folder.write(`root${path}`, text, FILE_MODE);
  for (const path of PROGRAMS)
    if (lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()) symlinkSync(readlinkSync(path), `${root}${path}`);
  return root;
}

/** The host's programs first: what lies below one of their folders is mounted above it. */
function programs(): Mount[] {
  const found = PROGRAMS.filter((path) => lstatSync(path, { throwIfNoEntry: false })?.isDirectory());
  const settings = SETTINGS.filter((path) => lstatSync(path, { throwIfNoEntry: false }) !== undefined);
  const own = [...OWN_CODE, SELF[0]].filter((path) => !path.startsWith('/usr/'));
  return [...found, ...settings, ...own].map((path) => ({
    destination: path,
    type: 'bind',
    source: path,
    options: READ_ONLY,
  }));
}

async function agentMount(socket: string, folder: StepFolder, unwound: AsyncDisposableStack) {
  const { serveAgent } = await import('./ssh-agent.ts');
  const { path } = unwound.use(await serveAgent(socket, folder.path, 'ssh-agent'));
  folder.give('ssh-agent', AGENT_MODE);
  return { type: 'ssh' as const, target: AGENT, agent: path, mode: AGENT_MODE, uid: 0, gid: 0 };
}

/** Hosts whose keys nobody knows are not talked to, and nothing is asked. */
const sshVariables = (): Record<string, string> => ({
  SSH_AUTH_SOCK: AGENT,
  GIT_SSH_VARIANT: 'ssh',
  GIT_SSH_COMMAND: [
    'ssh -F none -o BatchMode=yes -o StrictHostKeyChecking=yes -o GlobalKnownHostsFile=/dev/null',
    `-o UserKnownHostsFile=${KNOWN_HOSTS} -o ForwardAgent=no -o PermitLocalCommand=no -o ConnectTimeout=30`,
  ].join(' '),
});

function specOf({ network, maxFile, env = [] }: FetchSandboxOptions): Omit<Spec, 'mounts'> {
  const none = { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] };
  filter ??= seccompFor(undefined, { capabilities: [], kernel: release(), privileged: false });
  return {
    ociVersion: '1.2.0',
    hostname: 'husk-fetch',
    root: { path: 'rootfs', readonly: true },
    process: {
      args: [...SELF, INTERNAL, 'fetch', WORK],
      env: ['PATH=/usr/local/bin:/usr/bin:/bin', 'HOME=/nonexistent', `TMPDIR=${WORK}`, 'NODE_USE_SYSTEM_CA=1', ...env],
      cwd: '/',
      user: { uid: 0, gid: 0 },
      capabilities: none,
      noNewPrivileges: true,
      rlimits: [
        { type: 'RLIMIT_CORE', soft: 0, hard: 0 },
        { type: 'RLIMIT_FSIZE', soft: maxFile, hard: maxFile },
      ],
    },
    linux: {
      namespaces: (['mount', 'cgroup', 'uts', 'pid', 'ipc', 'user'] as const)
        .map((type): Spec['linux']['namespaces'][number] => ({ type }))
        .concat(network ? [{ type: 'network' }] : []),
      ...(filter && { seccomp: filter }),
      maskedPaths: ['/proc/keys', '/proc/kcore', '/proc/sysrq-trigger', '/proc/timer_list', '/proc/scsi'],
      readonlyPaths: ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys'],
    },
  };
}
