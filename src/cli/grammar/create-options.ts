/**
 * Turns the flags of `run` and `create` into the engine's request (CreateOptions). This module checks what the client
 * itself can know: conflicts and spellings. It reads only the files that flags name (--env-file, --label-file, a
 * seccomp profile).
 */
import { readFileSync, statSync } from 'node:fs';
import { causeOf, HuskError, refusal } from '../../errors.ts';
import type { CreateOptions, MountRequest, ResourceRequest } from '../../engine/contract.ts';
import { parseTmpfs, parseVolume } from '../../engine/request/mounts.ts';
import type { PullPolicy } from '../../images/store/contract.ts';
import { refuseNotYet } from './not-yet.ts';
import { readLines } from './env-file.ts';
import type { FlagSet } from './flag-set.ts';
import { gpuDevices } from '../../engine/create/spec/cdi.ts';
import { parseBytes } from '../../notation/sizes.ts';
import { parseDeviceRate } from '../../notation/devices.ts';
import { parseExtraHost } from '../../notation/extra-hosts.ts';
import { networkOptions } from './network-flags.ts';
import { joinedContainer } from '../../notation/modes.ts';
import { parseExpose, parsePublish } from '../../notation/ports.ts';
import { toMap } from '../../notation/labels.ts';
import { type Ulimit } from '../../notation/ulimits.ts';

/** limit of bytes of a seccomp profile; Docker's own has 14 KB */
const MAX_SECCOMP_PROFILE = 1 << 20;

export interface CreateEnvironment {
  env: NodeJS.ProcessEnv;
  /** variables that every container gets unless `-e` names them (proxy-environment.ts) */
  added?: (asked: readonly string[]) => string[];
  workdir: string;
  consoleSize?: { columns: number; rows: number };
}

const invalid = (message: string, fix?: string): HuskError =>
  new HuskError(message, { kind: 'invalid', exitCode: 125, fix });

/** @param words the image and the words after it */
export function createOptions(flags: FlagSet, words: readonly string[], environment: CreateEnvironment): CreateOptions {
  refuseNotYet(flags);
  refuseElsewhere(flags);
  const [image = '', ...command] = words;
  if (image === '' || image.startsWith('-')) throw invalid('invalid reference format');
  if (flags.changed('kernel-memory'))
    throw invalid('--kernel-memory: kernel memory limits are no longer supported by the kernel', 'use --memory');
  const restart = parseRestart(flags.string('restart'));
  if (flags.bool('rm') && restart.name !== 'no')
    throw invalid('conflicting options: cannot specify both --restart and --rm');
  const networks = networkOptions(flags);
  for (const text of flags.list('publish')) attempt(() => parsePublish(text));
  return {
    image,
    command: command.length > 0 ? command : undefined,
    // An empty one is one empty word, by which the image's entrypoint and command are left out.
    entrypoint: flags.changed('entrypoint') ? [flags.string('entrypoint')] : undefined,
    name: flags.optional('name'),
    labels: labels(flags),
    annotations: toMap(flags.list('annotation')),
    hostname: flags.optional('hostname'),
    domainname: flags.optional('domainname'),
    env: [
      ...flags.list('env-file').flatMap((file) => readLines(file, { env: environment.env, what: 'env' })),
      ...flags.list('env'),
      ...(environment.added?.(flags.list('env')) ?? []),
    ],
    workdir: flags.optional('workdir'),
    user: flags.optional('user'),
    groupAdd: flags.list('group-add'),
    interactive: flags.bool('interactive'),
    attach: attachedStreams(flags),
    tty: flags.bool('tty'),
    autoRemove: flags.bool('rm'),
    init: flags.bool('init'),
    stopSignal: flags.optional('stop-signal'),
    stopTimeout: flags.number('stop-timeout'),
    restart,
    pull: pullPolicy(flags.string('pull')),
    platform: flags.optional('platform'),
    isolation: isolationOf(flags),
    ...(flags.bool('no-template') && { coldBoot: true }),
    readOnly: flags.bool('read-only'),
    tmpfs: Object.fromEntries(flags.list('tmpfs').map((text) => attempt(() => parseTmpfs(text)))),
    mounts: mounts(flags, environment),
    volumesFrom: flags.list('volumes-from'),
    ...networks,
    dns: flags.list('dns').map((address) => address.trim()),
    dnsSearch: flags.list('dns-search'),
    dnsOptions: flags.list('dns-option'),
    extraHosts: flags.list('add-host').map(extraHost),
    ...(flags.list('egress').length > 0 && { egress: flags.list('egress') }),
    publish: flags.list('publish'),
    publishAll: flags.bool('publish-all'),
    expose: [...new Set(flags.list('expose').flatMap((text) => attempt(() => parseExpose(text))))],
    privileged: flags.bool('privileged'),
    capAdd: flags.list('cap-add'),
    capDrop: flags.list('cap-drop'),
    securityOpt: flags.list('security-opt').map(securityOption),
    devices: [...flags.list('device'), ...flags.list('gpus').flatMap((text) => attempt(() => gpuDevices(text)))],
    deviceRules: flags.list('device-cgroup-rule'),
    storageSize: storageSize(flags),
    shmSize: flags.number('shm-size'),
    sysctls: toMap(flags.list('sysctl')),
    ulimits: lastOfEach(flags.items<Ulimit>('ulimit')),
    ipc: flags.optional('ipc'),
    pid: namespaceMode('pid', flags.string('pid')),
    uts: namespaceMode('uts', flags.string('uts')),
    userns: flags.optional('userns'),
    cgroupns: flags.optional('cgroupns'),
    cgroupParent: flags.optional('cgroup-parent'),
    healthcheck: healthcheck(flags),
    logDriver: flags.string('log-driver'),
    logOptions: toMap(flags.list('log-opt')),
    oomScoreAdj: flags.number('oom-score-adj'),
    resources: {
      ...limitRequest(flags),
      memorySwappiness: flags.number('memory-swappiness') === -1 ? undefined : flags.number('memory-swappiness'),
      oomKillDisable: flags.bool('oom-kill-disable') || undefined,
      blkioWeightDevice: flags.list('blkio-weight-device').length > 0 ? flags.list('blkio-weight-device') : undefined,
      deviceReadBps: rates(flags, 'device-read-bps', 'bytes'),
      deviceWriteBps: rates(flags, 'device-write-bps', 'bytes'),
      deviceReadIops: rates(flags, 'device-read-iops', 'operations'),
      deviceWriteIops: rates(flags, 'device-write-iops', 'operations'),
    },
    consoleSize: flags.bool('tty') ? environment.consoleSize : undefined,
  };
}

/**
 * @returns the streams of `-a`, else all that are open; with `-d` none. Docker's client attaches stdin wherever it is
 * open, whatever `-a` says.
 */
function attachedStreams(flags: FlagSet): NonNullable<CreateOptions['attach']> {
  if (flags.has('detach') && flags.bool('detach')) return { stdin: false, stdout: false, stderr: false };
  const named = new Set(flags.list('attach').map((stream) => stream.toLowerCase()));
  const has = (stream: string): boolean => named.size === 0 || named.has(stream);
  return { stdin: flags.bool('interactive') || named.has('stdin'), stdout: has('stdout'), stderr: has('stderr') };
}

/** Docker's names of its isolations on Windows; on Linux it accepts the first */
const DOCKERS_ISOLATIONS = ['default', 'process'];
/** Docker's names of its default runtime, and husk's own as `inspect` shows it */
const DEFAULT_RUNTIMES = ['runc', 'io.containerd.runc.v2', 'husk'];

/** @returns `--isolation`, or `--runtime` for scripts that have a runtime's name there */
function isolationOf(flags: FlagSet): CreateOptions['isolation'] {
  const asked = flags.string('isolation');
  const isolation = DOCKERS_ISOLATIONS.includes(asked)
    ? 'auto'
    : oneOf('isolation', asked, ['auto', 'vm', 'userns'] as const);
  const runtime = flags.optional('runtime') ?? '';
  if (runtime === '' || DEFAULT_RUNTIMES.includes(runtime)) return isolation;
  if (runtime !== 'vm' && runtime !== 'userns')
    throw invalid(`unknown or invalid runtime name: ${runtime}`, 'use vm, userns or runc');
  if (isolation !== 'auto' && isolation !== runtime)
    throw invalid(`conflicting options: --runtime ${runtime} and --isolation ${isolation}`);
  return runtime;
}

/** Flags of Docker that have no meaning on Linux. */
const WINDOWS_ONLY = ['cpu-count', 'cpu-percent', 'io-maxbandwidth', 'io-maxiops'];

/** Refuses flags that only other systems have. @throws HuskError in the words of docker's client and daemon */
export function refuseElsewhere(flags: FlagSet): void {
  for (const name of WINDOWS_ONLY)
    if (flags.has(name) && flags.changed(name))
      throw invalid(
        `"--${name}" is only supported on a Docker daemon running on windows, but the Docker daemon is running on linux`,
      );
  for (const name of ['cpu-rt-period', 'cpu-rt-runtime'])
    if (flags.has(name) && (flags.number(name) ?? 0) !== 0)
      throw invalid(
        `--${name}: your kernel does not support CPU real-time scheduler: cgroup v2 has none`,
        'use --cpus or --cpu-shares',
      );
  const driver = flags.has('volume-driver') ? (flags.optional('volume-driver') ?? '') : '';
  if (driver !== '' && driver !== 'local')
    throw invalid(`error looking up volume plugin ${driver}: plugin "${driver}" not found`, 'use the driver local');
}

/** Parses `--storage-opt size=10G`, the one option that Docker's overlay2 has. @returns bytes */
function storageSize(flags: FlagSet): number | undefined {
  let size: number | undefined;
  for (const text of flags.list('storage-opt')) {
    const [key = '', value] = text.split(/=(.*)/s);
    if (value === undefined) throw invalid('invalid storage option');
    if (key.toLowerCase() !== 'size') throw invalid(`unknown option ${key}`, '--storage-opt size=10G');
    size = attempt(() => parseBytes(value));
  }
  return size;
}

/** @returns the limits that `update` can change too */
export function limitRequest(flags: FlagSet): ResourceRequest {
  return {
    memory: flags.number('memory'),
    memorySwap: flags.number('memory-swap'),
    memoryReservation: flags.number('memory-reservation'),
    cpus: flags.number('cpus'),
    cpuPeriod: flags.number('cpu-period'),
    cpuQuota: flags.number('cpu-quota'),
    cpuShares: flags.number('cpu-shares'),
    cpusetCpus: flags.optional('cpuset-cpus'),
    cpusetMems: flags.optional('cpuset-mems'),
    pidsLimit: flags.number('pids-limit'),
    blkioWeight: flags.number('blkio-weight'),
  };
}

/** Parses `no`, `always`, `unless-stopped`, `on-failure[:N]`. */
export function parseRestart(text: string): CreateOptions['restart'] {
  if (text === '') return { name: 'no', maximumRetryCount: 0 };
  const [name = '', count, ...more] = text.split(':');
  if (name === '') throw invalid('invalid restart policy format: no policy provided before colon');
  if (more.length > 0) throw invalid('invalid restart policy format: invalid restart policy format');
  if (name !== 'no' && name !== 'always' && name !== 'unless-stopped' && name !== 'on-failure')
    throw invalid(
      `invalid restart policy: unknown policy '${name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`,
    );
  if (count !== undefined && !(/^[+-]?\d+$/.test(count) && Number.isSafeInteger(Number(count))))
    throw invalid('invalid restart policy format: maximum retry count must be an integer');
  const maximumRetryCount = Number(count ?? 0);
  if (name !== 'on-failure' && maximumRetryCount !== 0)
    throw invalid(`invalid restart policy: maximum retry count cannot be used with restart policy '${name}'`);
  if (maximumRetryCount < 0) throw invalid('invalid restart policy: maximum retry count cannot be negative');
  return { name, maximumRetryCount };
}

function oneOf<T extends string>(name: string, value: string, allowed: readonly T[]): T {
  if (!allowed.includes(value as T))
    throw invalid(`invalid ${name}: ${JSON.stringify(value)}`, `use one of ${allowed.join(', ')}`);
  return value as T;
}

function pullPolicy(text: string): PullPolicy {
  if (text === '') return 'missing';
  if (text !== 'always' && text !== 'missing' && text !== 'never')
    throw invalid(`invalid pull option: '${text}': must be one of "always", "missing" or "never"`);
  return text;
}

/** Turns a plain parser's error into one for the user. */
function attempt<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    // The error may also be the system's: the working folder may have been removed.
    throw refusal(error) ?? invalid((error as Error).message);
  }
}

function labels(flags: FlagSet): Record<string, string> {
  return toMap([
    ...flags.list('label-file').flatMap((file) => readLines(file, { what: 'label' })),
    ...flags.list('label'),
  ]);
}

function mounts(flags: FlagSet, environment: { readonly workdir: string }): MountRequest[] {
  const all = [
    ...flags.list('volume').map((text) => attempt(() => parseVolume(text, environment))),
    ...flags.items<MountRequest>('mount'),
  ];
  const seen = new Set<string>();
  for (const { target } of all) {
    if (seen.has(target)) throw invalid(`Duplicate mount point: ${target}`);
    seen.add(target);
  }
  return all;
}

/** @returns the entry as `name:ip`, which `inspect` shows */
function extraHost(text: string): string {
  const { name, ip } = parseExtraHost(text);
  return `${name}:${ip}`;
}

/** @returns rates as `/dev/sda:1048576`: units are parsed on the command line, as by Docker's client */
function rates(flags: FlagSet, name: string, unit: 'bytes' | 'operations'): string[] | undefined {
  const asked = flags.list(name).map((text) => parseDeviceRate(text, unit));
  return asked.length > 0 ? asked.map(({ path, rate }) => `${path}:${rate}`) : undefined;
}

/** Keeps the last value of each name, as Docker's map of ulimits does. */
function lastOfEach(ulimits: readonly Ulimit[]): Ulimit[] {
  return [...new Map(ulimits.map((ulimit) => [ulimit.name, ulimit])).values()];
}

function namespaceMode(flag: 'pid' | 'uts', text: string): string | undefined {
  if (text === '' || text === 'private') return undefined;
  if (text === 'host' || (flag === 'pid' && joinedContainer(text))) return text;
  throw invalid(`--${flag}: invalid ${flag.toUpperCase()} mode`);
}

/** Replaces the file of a seccomp profile by its text, so that the container can be started again without the file. */
function securityOption(text: string): string {
  const match = /^([^=:]+)[=:](.*)$/s.exec(text);
  if (!match) {
    if (text === 'no-new-privileges') return text;
    throw invalid(`Invalid --security-opt: ${JSON.stringify(text)}`);
  }
  const [, key, value = ''] = match;
  if (key !== 'seccomp' || value === 'unconfined' || value === 'builtin') return `${key}=${value}`;
  let profile: unknown;
  try {
    if (statSync(value).size > MAX_SECCOMP_PROFILE) throw new Error(`larger than ${MAX_SECCOMP_PROFILE} bytes`);
    profile = JSON.parse(readFileSync(value, 'utf8'));
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw invalid(
      error instanceof SyntaxError
        ? `compacting json for seccomp profile (${value}) failed: ${error.message}`
        : `opening seccomp profile (${value}) failed: ${missing ? `open ${value}: no such file or directory` : causeOf(error)}`,
    );
  }
  return `seccomp=${JSON.stringify(profile)}`;
}

function healthcheck(flags: FlagSet): CreateOptions['healthcheck'] {
  const names = [
    'health-cmd',
    'health-interval',
    'health-timeout',
    'health-retries',
    'health-start-period',
    'health-start-interval',
  ];
  const given = names.some((name) => flags.changed(name));
  if (flags.bool('no-healthcheck')) {
    if (given) throw invalid('--no-healthcheck conflicts with --health-* options');
    return { Test: ['NONE'] };
  }
  if (!given) return undefined;
  for (const name of names.slice(1)) if ((flags.number(name) ?? 0) < 0) throw invalid(`--${name} cannot be negative`);
  return {
    Test: flags.string('health-cmd') === '' ? undefined : ['CMD-SHELL', flags.string('health-cmd')],
    Interval: flags.number('health-interval'),
    Timeout: flags.number('health-timeout'),
    StartPeriod: flags.number('health-start-period'),
    StartInterval: flags.number('health-start-interval'),
    Retries: flags.number('health-retries'),
  };
}
