/**
 * Run by tests in a process of an ordinary user: builds a spec with husk's defaults and runs it through planContainer
 * and launch in a busybox tree. argv[2] is a Request as JSON; the container's output goes to our own stdout and stderr,
 * its exit code is ours.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { hostname, release } from 'node:os';
import { join } from 'node:path';
import { launch, LaunchError } from '../../src/launch/executor.ts';
import { hostnameFile, hostsFile } from '../../src/container/etc-files.ts';
import { planContainer, planExec } from '../../src/container/plan.ts';
import type { ContainerConfig, CreateOptions } from '../../src/engine/contract.ts';
import { readRequest } from '../../src/engine/request/request.ts';
import { buildExec, buildSpec, type SpecFacts } from '../../src/engine/create/spec/build.ts';
import { idMaps, writeIdMaps } from '../../src/rootless/idmap.ts';
import { INIT_PROGRAM } from '../../src/program.ts';
import { createOptions } from '../engine/create/spec/options.ts';

export interface Request {
  /** the image's tree */
  lower: string[];
  /** upper, work, merged and etc go here */
  directory: string;
  command: string[];
  options?: Partial<CreateOptions>;
  config?: Partial<ContainerConfig>;
  /** run this in the container beside `command` and pass its output on instead */
  exec?: string[];
  execUser?: string;
  /** run this in a second container that joins these namespaces of the first, whose command should last */
  beside?: { command: string[]; join: ('network' | 'ipc' | 'pid')[] };
}

if (process.argv[2] !== undefined) process.exitCode = await main(JSON.parse(process.argv[2]) as Request);

async function main(request: Request): Promise<number> {
  const folder = (name: string) => {
    const path = join(request.directory, name);
    mkdirSync(path, { recursive: true });
    return path;
  };
  const id = 'c0ffee'.padEnd(64, '0');
  const options = createOptions(request.options);
  const config: ContainerConfig = {
    options,
    image: 'busybox',
    imageId: '',
    isolation: 'userns',
    path: request.command[0]!,
    args: request.command.slice(1),
    env: [],
    labels: {},
    workdir: '/',
    user: options.user ?? '',
    stopSignal: 'SIGTERM',
    hostname: id.slice(0, 12),
    mounts: [],
    ...request.config,
  };
  const etc = folder('etc');
  const file = (name: string, text: string) => {
    writeFileSync(join(etc, name), text);
    return join(etc, name);
  };
  const facts: SpecFacts = {
    userNamespace: true,
    joined: {},
    cpus: 2,
    blockDevice: () => undefined,
    kernel: release(),
    hostHostname: hostname(),
    recursiveReadonly: true,
    thermalCpus: [],
    oomScoreAdj: 0,
    defaultUlimits: [],
    devicesAt: (path) => [{ path, type: 'c', major: 1, minor: 3 }],
    allDevices: () => [],
    hostHas: existsSync,
    etc: {
      hosts: file('hosts', hostsFile({ hostname: config.hostname, extraHosts: [] })),
      hostname: file('hostname', hostnameFile(config.hostname)),
      resolvConf: file('resolv.conf', ''),
    },
  };
  const { spec, warnings } = buildSpec(id, { config, request: readRequest(options) }, facts);
  for (const warning of warnings) process.stderr.write(`${warning}\n`);
  const maps = idMaps();
  const plan = planContainer(
    spec,
    { kind: 'overlay', lower: request.lower, upper: folder('upper'), work: folder('work'), merged: folder('merged') },
    { rootless: true, cgroup2: false, init: options.init },
  );
  const onAwait = (tag: string, pid: number) => (tag === 'idmap' ? writeIdMaps(pid, maps) : undefined);
  try {
    const first = launch(plan, {
      init: INIT_PROGRAM,
      stdin: 'null',
      stdout: request.exec || request.beside ? 'null' : 1,
      stderr: 2,
      onAwait,
    });
    await first.started;
    if (request.beside) {
      const pid = await first.pid;
      const joined = Object.fromEntries(request.beside.join.map((name) => [name, pid]));
      const modes = Object.fromEntries(request.beside.join.map((name) => [name, 'container:first']));
      const [path, ...args] = request.beside.command;
      const second = buildSpec(
        id,
        { config: { ...config, path: path!, args }, request: readRequest({ ...options, ...modes }) },
        { ...facts, joined },
      ).spec;
      const secondRoot = {
        kind: 'overlay' as const,
        lower: request.lower,
        upper: folder('2/upper'),
        work: folder('2/work'),
        merged: folder('2/merged'),
      };
      const launched = launch(planContainer(second, secondRoot, { rootless: true, cgroup2: false }), {
        init: INIT_PROGRAM,
        stdin: 'null',
        stdout: 1,
        stderr: 2,
      });
      await launched.started;
      const { code } = await launched.exited;
      first.signal(9);
      await first.exited;
      return code;
    }
    if (!request.exec) return (await first.exited).code;
    const process_ = buildExec(config, spec, {
      command: request.exec,
      interactive: false,
      tty: false,
      detach: false,
      env: ['EXTRA=1'],
      privileged: false,
      user: request.execUser,
    });
    const second = launch(planExec(spec, process_, { pid: await first.pid, rootless: true }), {
      init: INIT_PROGRAM,
      stdin: 'null',
      stdout: 1,
      stderr: 2,
    });
    await second.started;
    const { code } = await second.exited;
    first.signal(9);
    await first.exited;
    return code;
  } catch (error) {
    if (!(error instanceof LaunchError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return error.exitCode;
  }
}
