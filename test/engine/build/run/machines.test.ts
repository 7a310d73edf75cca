/**
 * Which steps share a virtual machine, what it is told, and when it ends; machines are fakes that note what they hear.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import test from 'ava';
import type { BuildMount, BuildRun } from '../../../../src/build-sandbox.ts';
import type { startMachine, MachineWish, StartedMachine } from '../../../../src/engine/build/run/machine.ts';
import { VmBuildSandbox } from '../../../../src/engine/build/run/machines.ts';
import type { BuildContext } from '../../../../src/engine/build/run/sandbox.ts';
import { HuskError } from '../../../../src/errors.ts';
import type { Layer } from '../../../../src/images/store/contract.ts';
import type { MachineExit } from '../../../../src/supervisor/build/frames.ts';
import type { MachineStep } from '../../../../src/vmm/build/machine.ts';
import { tarball } from '../../../fixtures/tar.ts';

const folder = mkdtempSync(join(tmpdir(), 'husk-machines-'));
test.after.always(() => rmSync(folder, { recursive: true }));

function layerOf(bytes: Buffer): Layer {
  const hex = createHash('sha256').update(bytes).digest('hex');
  const tar = join(folder, hex);
  writeFileSync(tar, bytes);
  return { diffId: `sha256:${hex}`, size: bytes.length, tar };
}
const plain = (name: string): Layer => layerOf(tarball({ name, body: name }));
const [base, other, copy] = [plain('base'), plain('other'), plain('copy')];
const deletion = layerOf(tarball({ name: '.wh.base' }));
const implying = layerOf(tarball({ name: 'tmp/x', body: 'x' }));

/** What a step of the fakes does; @default it ends with 0 at once */
type Behaviour = (told: { step: MachineStep; machine: Fake }) => Promise<MachineExit>;

class Fake {
  readonly name: string;
  readonly heard: string[] = [];
  readonly wish: MachineWish;
  isOver = false;
  readonly died = Promise.withResolvers<never>();

  constructor(name: string, wish: MachineWish) {
    this.name = name;
    this.wish = wish;
    this.died.promise.catch(() => {});
  }
}

class World {
  readonly fakes: Fake[] = [];
  /** where agents of ssh are to listen, of each machine that has such */
  readonly folders: string[] = [];
  readonly log: string[] = [];
  made = 0;
  behaviour: Behaviour = async () => ({ code: 0 });
  readonly sandbox = new VmBuildSandbox(
    { config: {}, networks: async () => ({ find: () => ({ name: 'bridge' }) }) } as unknown as BuildContext,
    {},
    {
      ingest: async (source) => {
        const pieces: Uint8Array[] = [];
        for await (const piece of source) pieces.push(piece);
        return layerOf(Buffer.concat(pieces));
      },
    },
    this.#start.bind(this),
  );

  async #start(...[, wish, signal]: Parameters<typeof startMachine>): Promise<StartedMachine> {
    signal?.throwIfAborted();
    const fake = new Fake('abcdef'[this.fakes.length]!, wish);
    this.fakes.push(fake);
    this.log.push(`${fake.name} starts`);
    const end = (): void => {
      if (fake.isOver) return;
      fake.isOver = true;
      this.log.push(`${fake.name} ends`);
      fake.died.reject(new HuskError('the machine is gone', { kind: 'start-failed' }));
    };
    const client = {
      get isOver() {
        return fake.isOver;
      },
      layer: async (number: number, tar: AsyncIterable<Uint8Array>) => {
        let bytes = 0;
        for await (const chunk of tar) bytes += chunk.length;
        fake.heard.push(`layer ${number} of ${bytes}`);
      },
      run: (number: number, step: MachineStep) => {
        fake.heard.push(`run ${number} on ${step.lower.join(' ')}`);
        return Promise.race([this.behaviour({ step, machine: fake }), fake.died.promise]);
      },
      signal: (number: number, signal: number) => void fake.heard.push(`signal ${signal} to ${number}`),
      seal: () => {
        const tar = new PassThrough();
        tar.end(tarball({ name: `made${++this.made}`, body: 'x' }));
        return { tar, leftOut: Promise.resolve(['a socket']) };
      },
    };
    const agents = wish.sockets > 0 ? mkdtempSync(join(folder, 'agents-')) : undefined;
    if (agents !== undefined) this.folders.push(agents);
    return {
      client: client as unknown as StartedMachine['client'],
      agents,
      kill: end,
      close: async () => end(),
    };
  }

  run(layers: Layer[], more: Partial<BuildRun> & { network?: 'none' | 'default' | 'host' } = {}) {
    const { network = 'none', ...rest } = more;
    return this.sandbox.run({
      layers,
      operation: { argv: ['true'], env: [], hidden: [], cwd: '/', user: '', network, insecure: false, files: [] },
      output: () => {},
      ...rest,
    });
  }

  /** runs, and gives the stack with the step's layer */
  async stack(layers: Layer[], more: Parameters<World['run']>[1] = {}): Promise<Layer[]> {
    const { layer } = await this.run(layers, more);
    return [...layers, layer!];
  }
}

test('a chain has one machine: what was made there stays, what came between is told once', async (t) => {
  const world = new World();
  const one = await world.stack([base]);
  const two = await world.stack([...one, copy]);
  const { leftOut } = await world.run(two);
  await world.sandbox.close();
  t.deepEqual(world.fakes[0]!.heard, ['run 1 on 0', `layer 2 of ${copy.size}`, 'run 3 on 2 1 0', 'run 4 on 3 2 1 0']);
  t.deepEqual(world.log, ['a starts', 'a ends']);
  t.deepEqual(leftOut, ['a socket']);
  t.deepEqual(world.fakes[0]!.wish.layers, [base]);
});

test('no step runs in a machine that ran what is not below it', async (t) => {
  const world = new World();
  await world.stack([base]);
  // of the same base, and so it could be told everything that it needs
  await world.stack([base]);
  await world.run([base, copy]);
  await world.sandbox.close();
  t.deepEqual(world.log, ['a starts', 'b starts', 'a ends', 'c starts', 'b ends', 'c ends']);
});

for (const [what, layer] of [
  ['deletes', deletion],
  ['implies a folder', implying],
] as const)
  test(`a layer that ${what} makes another machine, whose disk has it`, async (t) => {
    const world = new World();
    const one = await world.stack([base]);
    await world.run([...one, layer]);
    await world.sandbox.close();
    t.is(world.fakes.length, 2);
    t.deepEqual(world.fakes[1]!.wish.layers.length, 3);
    t.deepEqual(world.fakes[1]!.heard, ['run 1 on 0']);
  });

test('a machine on no network serves no step that wants one; the other way round it does', async (t) => {
  const world = new World();
  const one = await world.stack([base]);
  const two = await world.stack(one, { network: 'default' });
  await world.run(two);
  await world.sandbox.close();
  t.deepEqual(
    world.fakes.map(({ wish, heard }) => [wish.network?.name, heard.length]),
    [
      [undefined, 1],
      ['bridge', 2],
    ],
  );
});

const cache = (name: string): BuildMount => ({
  type: 'cache',
  target: '/c',
  folder: `/caches/${name}`,
  readOnly: false,
  mode: 0o755,
  uid: 0,
  gid: 0,
});

test('a machine shares the caches of the step that it was started for, and no others', async (t) => {
  const world = new World();
  const mounts: unknown[] = [];
  world.behaviour = async ({ step }) => (mounts.push(...step.mounts), { code: 0 });
  const one = await world.stack([base], { mounts: [cache('one'), { ...cache('two'), target: '/d' } as BuildMount] });
  const two = await world.stack(one, { mounts: [cache('two')] });
  await world.run(two, { mounts: [cache('three')] });
  await world.sandbox.close();
  t.deepEqual(
    world.fakes.map(({ wish }) => wish.caches.map(({ folder: path }) => path)),
    [['/caches/one', '/caches/two'], ['/caches/three']],
  );
  t.deepEqual(
    mounts.map((mount) => (mount as { share: number }).share),
    [0, 1, 1, 0],
  );
  t.false(JSON.stringify(mounts).includes('/caches'));
});

test('a machine does not serve a step whose cache another build has begun anew', async (t) => {
  const world = new World();
  const place = mkdtempSync(join(folder, 'cache-'));
  const mount = { ...cache('anew'), folder: place } as BuildMount;
  mkdirSync(join(place, 'data'));
  const one = await world.stack([base], { mounts: [mount] });
  const two = await world.stack(one, { mounts: [mount] });
  t.is(world.fakes.length, 1);
  renameSync(join(place, 'data'), join(place, 'old'));
  mkdirSync(join(place, 'data'));
  await world.run(two, { mounts: [mount] });
  await world.sandbox.close();
  t.deepEqual(
    world.fakes.map(({ heard }) => heard.length),
    [2, 1],
  );
});

test('files of a mount: what is on the disk already, one layer, or many as one', async (t) => {
  const world = new World();
  const lowers: unknown[] = [];
  world.behaviour = async ({ step }) => {
    for (const mount of step.mounts) if (mount.type === 'bind') lowers.push(mount.lower);
    return { code: 0 };
  };
  const bind = (...layers: Layer[]): BuildMount => ({ type: 'bind', target: '/b', from: { layers }, readOnly: true });
  await world.run([base], {
    mounts: [bind(base), bind(base, copy), bind(copy), bind(other, deletion), bind(other, deletion), bind()],
  });
  await world.sandbox.close();
  t.deepEqual(lowers, [[0], [1, 0], [1], [2], [2], [3]]);
  const lengths = world.fakes[0]!.heard.slice(0, 3);
  // two headers with their contents, and the end; the deletion and what it deletes are in neither
  t.deepEqual(lengths, [`layer 1 of ${copy.size}`, 'layer 2 of 2048', 'layer 3 of 1024']);
});

test('two machines at most; a third step waits, and takes the place of one that is free', async (t) => {
  const world = new World();
  const gates = [0, 1, 2].map(() => Promise.withResolvers<MachineExit>());
  world.behaviour = ({ machine }) => gates['abc'.indexOf(machine.name)]!.promise;
  const running = [base, other, copy].map((layer) => world.run([layer]));
  await new Promise((turn) => setTimeout(turn, 20));
  t.deepEqual(world.log, ['a starts', 'b starts']);
  gates[1]!.resolve({ code: 0 });
  await running[1];
  gates[2]!.resolve({ code: 0 });
  await running[2];
  t.deepEqual(world.log, ['a starts', 'b starts', 'b ends', 'c starts']);
  gates[0]!.resolve({ code: 0 });
  await running[0];
  await world.sandbox.close();
});

test('a step that fails has no layer, and no other is run in its machine', async (t) => {
  const world = new World();
  world.behaviour = async () => ({ code: 3 });
  t.deepEqual(await world.run([base]), { exit: { code: 3 }, leftOut: [] });
  t.deepEqual(world.log, ['a starts', 'a ends']);
  // what a guest that was taken over may say of a command that has run
  world.behaviour = async () => {
    throw new HuskError('it cannot be executed', { kind: 'start-failed' });
  };
  await t.throwsAsync(world.run([base]), { message: 'it cannot be executed' });
  t.deepEqual(world.log.slice(2), ['b starts', 'b ends']);
  await world.sandbox.close();
});

test('a machine that dies fails its step, and none is run in it again', async (t) => {
  const world = new World();
  world.behaviour = async ({ machine }) => {
    machine.isOver = true;
    throw new HuskError('its kernel panicked', { kind: 'start-failed' });
  };
  await t.throwsAsync(world.run([base]), { message: 'its kernel panicked' });
  world.behaviour = async () => ({ code: 0 });
  await world.run([base]);
  t.is(world.fakes.length, 2);
  await world.sandbox.close();
});

test('a layer that does not pass the door ends the machine', async (t) => {
  const world = new World();
  const { sandbox } = world;
  world.behaviour = async ({ machine }) => (machine.heard.push('lies'), { code: 0 });
  Object.defineProperty(world, 'made', {
    get: () => {
      throw new HuskError('a device', { kind: 'corrupt' });
    },
  });
  await t.throwsAsync(world.run([base]), { message: 'a device' });
  t.deepEqual(world.log, ['a starts', 'a ends']);
  await sandbox.close();
});

test('when a step is to end it gets SIGTERM, and its machine ends; the reason is the signal of the caller', async (t) => {
  const world = new World();
  const began = Promise.withResolvers<void>();
  world.behaviour = () => (began.resolve(), new Promise(() => {}));
  const caller = new AbortController();
  const running = world.run([base], { signal: caller.signal });
  await began.promise;
  caller.abort(new HuskError('interrupted', { kind: 'conflict' }));
  await t.throwsAsync(running, { message: 'interrupted' });
  t.deepEqual(world.fakes[0]!.heard, ['run 1 on 0', 'signal 15 to 1']);
  t.deepEqual(world.log, ['a starts', 'a ends']);
  await world.sandbox.close();
});

test('when a step is to end now, its machine ends at once; and when all is closed', async (t) => {
  const world = new World();
  const began = [0, 1].map(() => Promise.withResolvers<void>());
  world.behaviour = ({ machine }) => (began['ab'.indexOf(machine.name)]!.resolve(), new Promise(() => {}));
  const kill = new AbortController();
  const [first, second] = [world.run([base], { kill: kill.signal }), world.run([other])];
  await Promise.all(began.map(({ promise }) => promise));
  kill.abort(new HuskError('now', { kind: 'conflict' }));
  await t.throwsAsync(first, { message: 'now' });
  const refused = t.throwsAsync(second, { message: 'the build was ended' });
  await world.sandbox.close();
  await refused;
  t.deepEqual(world.log, ['a starts', 'b starts', 'a ends', 'b ends']);
  t.false(world.fakes.some(({ heard }) => heard.some((line) => line.startsWith('signal'))));
});

const ssh = (agent: string): BuildMount => ({ type: 'ssh', target: '/s', agent, mode: 0o600, uid: 5, gid: 6 });
/** SSH_AGENTC_REQUEST_IDENTITIES, and one that no step may ask: SSH_AGENTC_REMOVE_ALL_IDENTITIES */
const LIST = Buffer.from([0, 0, 0, 1, 11]);
const REMOVE_ALL = Buffer.from([0, 0, 0, 1, 19]);

/** An agent that answers everything with its number. */
async function agentOf(number: number): Promise<{ path: string; heard: number[]; close(): void }> {
  const heard: number[] = [];
  const path = join(mkdtempSync(join(folder, 'agent-')), 'socket');
  const server = createServer((client) =>
    client
      .on('error', () => {})
      .on('data', (request) => {
        heard.push(request[4]!);
        client.write(Buffer.from([0, 0, 0, 2, 12, number]));
      }),
  ).listen(path);
  await once(server, 'listening');
  return { path, heard, close: () => void server.close() };
}

/** Asks as the relay of a machine connects. @returns the answer, or why there is none */
async function asked(socket: string, request: Buffer): Promise<string> {
  const client = createConnection(socket);
  try {
    await once(client, 'connect');
    client.write(request);
    const [answer] = (await once(client, 'data')) as [Buffer];
    return answer.toString('hex');
  } catch (error) {
    return (error as NodeJS.ErrnoException).code!;
  } finally {
    client.destroy();
  }
}

test('a step reaches the agents that it mounts, while it runs and no longer', async (t) => {
  const world = new World();
  const agents = [await agentOf(1), await agentOf(2)];
  const answers: string[] = [];
  const mounts: MachineStep['mounts'][] = [];
  const sockets = (): string[] => [0, 1].map((number) => join(world.folders[0]!, `agent-${number}`));
  world.behaviour = async ({ step }) => {
    mounts.push(step.mounts);
    for (const socket of sockets()) answers.push(await asked(socket, LIST), await asked(socket, REMOVE_ALL));
    return { code: 0 };
  };
  const one = await world.stack([base], { mounts: [ssh(agents[0]!.path), ssh(agents[1]!.path)] });
  t.deepEqual(answers.splice(0), ['000000020c01', '0000000105', '000000020c02', '0000000105']);
  for (const socket of sockets()) t.is(await asked(socket, LIST), 'ENOENT');
  const two = await world.stack(one);
  t.deepEqual(answers.splice(0), ['ENOENT', 'ENOENT', 'ENOENT', 'ENOENT']);
  await world.stack(two, { mounts: [ssh(agents[1]!.path)] });
  t.deepEqual(answers.splice(0), ['000000020c02', '0000000105', 'ENOENT', 'ENOENT']);
  t.is(world.fakes.length, 1);
  t.deepEqual(
    mounts[0],
    [0, 1].map((socket) => ({ type: 'ssh', target: '/s', socket, mode: 0o600, uid: 5, gid: 6 })),
  );
  t.deepEqual(
    agents.map(({ heard }) => heard),
    [[11], [11, 11]],
  );
  await world.sandbox.close();
  for (const agent of agents) agent.close();
});

test('a connection to an agent ends with its step, also where that fails', async (t) => {
  const world = new World();
  const agent = await agentOf(1);
  for (const code of [0, 1]) {
    const closed = Promise.withResolvers<unknown>();
    world.behaviour = async () => {
      const client = createConnection(join(world.folders.at(-1)!, 'agent-0'));
      await once(client, 'connect');
      // Reset or ended: either way nothing more is said.
      client
        .on('error', () => {})
        .once('close', closed.resolve)
        .resume();
      return { code };
    };
    const { exit } = await world.run([base], { mounts: [ssh(agent.path)] });
    t.is(exit.code, code);
    await closed.promise;
    t.is(await asked(join(world.folders.at(-1)!, 'agent-0'), LIST), 'ENOENT');
  }
  await world.sandbox.close();
  agent.close();
});

test('a step with more agents than its machine has sockets gets another one', async (t) => {
  const world = new World();
  const agent = await agentOf(1);
  const one = await world.stack([base]);
  const two = await world.stack(one, { mounts: [ssh(agent.path)] });
  await world.stack(two, { mounts: [ssh(agent.path), ssh(agent.path)] });
  await world.sandbox.close();
  t.deepEqual(
    world.fakes.map(({ wish }) => wish.sockets),
    [0, 1, 2],
  );
  agent.close();
});

test('what machines cannot have is refused in one line, before one is started', async (t) => {
  const world = new World();
  const why = 'a virtual machine shares no namespaces with the host';
  const many = Array.from({ length: 65 }, () => ssh('/a'));
  await t.throwsAsync(world.run([base], { mounts: many }), {
    message: 'a step in a virtual machine has at most 64 mounts of type=ssh',
  });
  await t.throwsAsync(world.run([base], { network: 'host' }), {
    message: `RUN --network=host is not possible with --isolation=vm: ${why}`,
  });
  t.deepEqual(world.log, []);
  await world.sandbox.close();
});

test('a secret goes to the machine as it is, and no namespace of users', async (t) => {
  const world = new World();
  const told: MachineStep[] = [];
  world.behaviour = async ({ step }) => (told.push(step), { code: 0 });
  const secret: BuildMount = { type: 'secret', target: '/s', data: Buffer.from([0, 255]), mode: 0o400, uid: 0, gid: 0 };
  await world.run([base], { mounts: [secret] });
  t.deepEqual(told[0]!.mounts, [{ ...secret, data: 'AP8=' }]);
  t.deepEqual(
    told[0]!.spec.linux.namespaces.map(({ type }) => type),
    ['mount', 'cgroup', 'uts', 'pid', 'ipc', 'network'],
  );
  await world.sandbox.close();
});
