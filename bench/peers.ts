/**
 * The peers of the measurements: husk under user namespaces and rootless Podman, each as the same ordinary user with
 * the same image, in folders of their own. Docker joins where a daemon answers.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');

export interface Peer {
  name: string;
  version: string;
  /** argv before the subcommand */
  command: string[];
  environment: NodeJS.ProcessEnv;
  /** flags `run` needs on this host and the others do not */
  runFlags: string[];
  pullFlags: string[];
  /** pids of what the peer keeps running for a container, given the container's first process */
  keepers(containerPid: number): number[];
}

/** as root, measured commands run as `husk-test`: both peers are rootless */
const user = process.getuid!() === 0 ? 'husk-test' : userInfo().username;
export const asUser = process.getuid!() === 0 ? ['setpriv', '--reuid', user, '--regid', user, '--init-groups'] : [];

function environment(home: string): NodeJS.ProcessEnv {
  return {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: home,
    USER: user,
    LANG: 'C.UTF-8',
    XDG_RUNTIME_DIR: join(home, 'run'),
    XDG_DATA_HOME: join(home, 'data'),
    XDG_CONFIG_HOME: join(home, 'config'),
  };
}

function makeHome(folder: string): void {
  const [uid, gid] = ['-u', '-g'].map((flag) => Number(execFileSync('id', [flag, user], { encoding: 'utf8' })));
  for (const path of [folder, join(folder, 'run'), join(folder, 'data'), join(folder, 'config')]) {
    mkdirSync(path, { recursive: true, mode: 0o711 });
    chownSync(path, uid!, gid!);
  }
}

function parentOf(pid: number): number {
  // /proc/PID/stat: pid (comm) state ppid; comm may hold spaces and parentheses
  return Number(
    readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /s, '')
      .split(' ')[1],
  );
}

/** the ancestors of a container's first process up to the first that is not the peer's */
function ancestors(pid: number, isKeeper: (commandLine: string) => boolean): number[] {
  const found: number[] = [];
  for (let parent = parentOf(pid); parent > 1; parent = parentOf(parent)) {
    if (!isKeeper(readFileSync(`/proc/${parent}/cmdline`, 'utf8').replaceAll('\0', ' '))) break;
    found.push(parent);
  }
  return found;
}

export function husk(folder: string): Peer {
  const home = join(folder, 'husk');
  makeHome(home);
  return {
    name: 'husk',
    version: JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version,
    command: [...asUser, join(root, 'bin/husk')],
    environment: environment(home),
    runFlags: ['--isolation=userns'],
    pullFlags: [],
    keepers: (pid) => ancestors(pid, (line) => /husk/.test(line)),
  };
}

export function podman(folder: string): Peer | undefined {
  if (!existsSync('/usr/bin/podman')) return undefined;
  const home = join(folder, 'podman');
  makeHome(home);
  mkdirSync(join(home, 'config/containers'), { recursive: true });
  writeFileSync(join(home, 'config/containers/storage.conf'), '[storage]\ndriver = "overlay"\n');
  const peer: Peer = {
    name: 'podman',
    version: execFileSync('podman', ['--version'], { encoding: 'utf8' })
      .trim()
      .replace(/^podman version /, ''),
    command: [...asUser, 'podman'],
    environment: environment(home),
    // without limits cgroups are not needed, and a host of v1 cgroups cannot delegate them
    runFlags: existsSync('/sys/fs/cgroup/cgroup.controllers') ? [] : ['--cgroups=disabled'],
    pullFlags: ['--tls-verify=false'],
    keepers: (pid) => ancestors(pid, (line) => /conmon/.test(line)),
  };
  return spawnSync(peer.command[0]!, [...peer.command.slice(1), 'info'], { env: peer.environment }).status === 0
    ? peer
    : undefined;
}

export function docker(): Peer | undefined {
  if (spawnSync('docker', ['info'], { stdio: 'ignore', timeout: 5000 }).status !== 0) return undefined;
  return {
    name: 'docker',
    version: execFileSync('docker', ['version', '--format', '{{.Server.Version}}'], { encoding: 'utf8' }).trim(),
    command: ['docker'],
    environment: process.env,
    runFlags: [],
    pullFlags: [],
    keepers: (pid) => ancestors(pid, (line) => /containerd-shim/.test(line)),
  };
}

/** sum of the proportional set size (smaps_rollup, `Pss:`), KiB */
export function pss(pids: number[]): number {
  return pids.reduce(
    (total, pid) => total + Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))![1]),
    0,
  );
}

const HYBRID = '/sys/fs/cgroup/unified/cgroup.procs';

/**
 * crun refuses a host that mounts cgroup v2 beside v1: the whole run then happens again in a mount namespace without
 * it, and this process ends with it.
 */
export function leaveHybridCgroups(): void {
  if (process.getuid!() !== 0 || !existsSync(HYBRID)) return;
  const { status } = spawnSync(
    'unshare',
    ['--mount', 'sh', '-c', 'umount -l /sys/fs/cgroup/unified && exec "$@"', 'sh', ...process.argv],
    { stdio: 'inherit' },
  );
  process.exit(status ?? 1);
}
