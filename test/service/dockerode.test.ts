/** dockerode, a client that others wrote, over its methods of images, volumes and networks. */
import { Duplex, PassThrough, Readable, Writable } from 'node:stream';
import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import test, { type ExecutionContext } from 'ava';
import Docker from 'dockerode';
import { createOptions } from '../engine/fixture.ts';
import { busyboxLayout, busyboxTar, missingImageTools, startRegistry } from '../fixtures/images.ts';
import { ordinaryUser } from '../fixtures/user.ts';
import { serveAs } from './fixture.ts';
import { openApi, openImageApi, smallTar, type Api } from './engine-api/open-api.ts';

/** As much of dockerode as is called here: the types that others wrote for it lack some of its methods. */
interface Image {
  inspect(): Promise<{ Id: string; RepoTags: string[] }>;
  history(): Promise<{ Id: string; Comment: string }[]>;
  tag(options: { repo: string; tag: string }): Promise<unknown>;
  push(options: object): Promise<Readable>;
  get(): Promise<Readable>;
  remove(options?: object): Promise<{ Untagged?: string; Deleted?: string }[]>;
  distribution(): Promise<{ Descriptor: { digest: string } }>;
}
interface Network {
  id: string;
  inspect(): Promise<{ Name: string; Containers: object; Labels: object }>;
  connect(options: object): Promise<unknown>;
  disconnect(options: object): Promise<unknown>;
  remove(): Promise<unknown>;
}
interface Volume {
  inspect(): Promise<{ Name: string; Options: object | null }>;
  remove(options?: object): Promise<unknown>;
}
interface Container {
  id: string;
  attach(options: object): Promise<Duplex>;
  start(): Promise<unknown>;
  wait(): Promise<{ StatusCode: number }>;
  logs(options: object): Promise<Buffer>;
  inspect(): Promise<{ Name: string; State: { Status: string; ExitCode: number } }>;
  exec(options: object): Promise<{
    start(options: object): Promise<Duplex>;
    inspect(): Promise<{ ExitCode: number | null; Running: boolean }>;
  }>;
  putArchive(tar: Buffer, options: { path: string }): Promise<unknown>;
  getArchive(options: { path: string }): Promise<Readable>;
  rename(options: { name: string }): Promise<unknown>;
  top(): Promise<{ Titles: string[]; Processes: string[][] }>;
  kill(options?: object): Promise<unknown>;
  stop(options?: object): Promise<unknown>;
  remove(options?: object): Promise<unknown>;
}
type Progress = { status?: string; stream?: string; id?: string; aux?: { Digest: string }; error?: string };
interface Dockerode {
  modem: {
    followProgress(
      stream: Readable,
      done: (error: Error | null, lines: Progress[]) => void,
      onProgress?: (line: Progress) => void,
    ): void;
    demuxStream(stream: Duplex, stdout: Writable, stderr: Writable): void;
  };
  ping(): Promise<Buffer | string>;
  pull(name: string, options?: object): Promise<Readable>;
  importImage(tar: Readable, options: object): Promise<Readable>;
  loadImage(tar: Readable, options?: object): Promise<Readable>;
  listImages(options?: object): Promise<{ Id: string; RepoTags: string[] }[]>;
  pruneImages(options?: object): Promise<{ SpaceReclaimed: number; ImagesDeleted: object[] | null }>;
  getImage(name: string): Image;
  createContainer(options: object): Promise<Container>;
  listContainers(options?: object): Promise<{ Id: string; Names: string[] }[]>;
  run(
    image: string,
    command: string[],
    output: Writable,
    options?: object,
  ): Promise<[{ StatusCode: number }, Container]>;
  listVolumes(options?: object): Promise<{ Volumes: { Name: string }[]; Warnings: string[] | null }>;
  createVolume(options?: object): Promise<{ Name?: string; name?: string }>;
  pruneVolumes(options?: object): Promise<{ VolumesDeleted: string[] | null }>;
  getVolume(name: string): Volume;
  listNetworks(options?: object): Promise<{ Name: string }[]>;
  createNetwork(options: object): Promise<Network>;
  pruneNetworks(options?: object): Promise<{ NetworksDeleted: string[] | null }>;
  getNetwork(name: string): Network;
}

const Client = Docker as unknown as new (options: { socketPath: string }) => Dockerode;
const clientOf = ({ server }: Api): Dockerode => new Client({ socketPath: server.socket });

const missing = missingImageTools();
const real = missing ? test.skip : test;
if (missing) test.skip(`real registry: ${missing}`, () => {});

/** Follows a stream of progress to its end, as users of dockerode do. */
const follow = (docker: Dockerode, stream: Readable): Promise<Progress[]> =>
  new Promise((resolve, reject) =>
    docker.modem.followProgress(stream, (error, lines) => (error ? reject(error) : resolve(lines))),
  );

const rejected = async (t: ExecutionContext, call: Promise<unknown>): Promise<{ statusCode: number; reason: string }> =>
  (await t.throwsAsync(call))! as Error & { statusCode: number; reason: string };

real('images: pull and push with progress, tag, distribution, history, remove', async (t) => {
  await using registry = await startRegistry({ htpasswd: { user: 'me', password: 'secret' } });
  await registry.push(`oci:${busyboxLayout()}:latest`, 'box:1');
  const api = await openImageApi(t);
  const docker = clientOf(api);
  t.is(String(await docker.ping()), 'OK');
  const authconfig = { username: 'me', password: 'secret', serveraddress: registry.host };
  const lines = await follow(docker, await docker.pull(`${registry.host}/box:1`, { authconfig }));
  t.true(lines.every(({ status }) => typeof status === 'string'));
  t.regex(lines.at(-1)!.status!, /^Status: Downloaded newer image for /);
  const refused = await rejected(t, docker.pull(`${registry.host}/box:1`));
  t.is(refused.statusCode, 404);
  const image = docker.getImage(`${registry.host}/box:1`);
  t.deepEqual((await image.inspect()).RepoTags, [`${registry.host}/box:1`]);
  t.true((await image.history()).length > 0);
  await image.tag({ repo: `${registry.host}/other`, tag: '2' });
  const other = docker.getImage(`${registry.host}/other:2`);
  const pushed = await follow(docker, await other.push({ authconfig }));
  t.regex(pushed.at(-1)!.aux!.Digest, /^sha256:/);
  const wrong = { authconfig: { ...authconfig, password: 'x' } };
  t.regex((await follow(docker, await other.push(wrong))).at(-1)!.error!, /^denied: /);
  t.regex((await other.remove()).map(({ Untagged }) => Untagged).join(), /other:2,.*other@sha256:/);
  t.is((await rejected(t, other.inspect())).statusCode, 404);
});

test('images: import, list, save, load, prune', async (t) => {
  const docker = clientOf(await openImageApi(t));
  const imported = await docker.importImage(Readable.from([smallTar('x')], { objectMode: false }), {
    repo: 'tiny',
    tag: '1',
    changes: 'LABEL a=b',
  });
  const [{ status: id } = {}] = await follow(docker, imported);
  t.deepEqual(
    (await docker.listImages({ filters: { label: ['a=b'] } })).map(({ Id, RepoTags }) => [Id, RepoTags]),
    [[id!, ['tiny:1']]],
  );
  const chunks: Buffer[] = [];
  for await (const chunk of await docker.getImage('tiny:1').get()) chunks.push(chunk as Buffer);
  t.is((await docker.pruneImages({ filters: { dangling: { false: true } } })).ImagesDeleted!.length > 0, true);
  t.deepEqual(await docker.listImages({ all: true }), []);
  const loaded = await follow(docker, await docker.loadImage(Readable.from(chunks, { objectMode: false })));
  t.is(loaded.at(-1)!.stream, 'Loaded image: tiny:1\n');
});

test('volumes', async (t) => {
  const docker = clientOf(await openApi(t));
  t.deepEqual((await docker.listVolumes()).Volumes, []);
  await docker.createVolume({ Name: 'va', Labels: { a: 'b' } });
  await docker.createVolume();
  t.is((await docker.getVolume('va').inspect()).Options, null);
  t.deepEqual(
    (await docker.listVolumes({ filters: { label: ['a'] } })).Volumes.map(({ Name }) => Name),
    ['va'],
  );
  t.is((await docker.pruneVolumes()).VolumesDeleted!.length, 1);
  await docker.getVolume('va').remove({ force: true });
  t.is((await rejected(t, docker.getVolume('va').inspect())).reason, 'no such volume');
});

test('networks', async (t) => {
  const api = await openApi(t);
  const docker = clientOf(api);
  const { id } = await api.engine.create(createOptions({ name: 'n1', network: 'bridge', command: ['sleep', '1000'] }));
  await api.engine.start(id);
  const network = await docker.createNetwork({
    Name: 'net1',
    CheckDuplicate: true,
    Driver: 'bridge',
    Internal: false,
    Attachable: false,
    Ingress: false,
    EnableIPv6: false,
    Labels: { a: 'b' },
  });
  t.like(await network.inspect(), { Name: 'net1', Labels: { a: 'b' }, Containers: {} });
  await network.connect({ Container: id, EndpointConfig: { Aliases: ['x'] } });
  t.deepEqual(Object.keys((await network.inspect()).Containers), [id]);
  t.is((await rejected(t, network.remove())).statusCode, 403);
  await network.disconnect({ Container: id, Force: true });
  t.deepEqual(
    (await docker.listNetworks({ filters: { type: ['custom'] } })).map(({ Name }) => Name),
    ['net1'],
  );
  await network.remove();
  await docker.createNetwork({ Name: 'net2' });
  t.deepEqual((await docker.pruneNetworks()).NetworksDeleted, ['net2']);
  t.is((await rejected(t, docker.getNetwork('net1').inspect())).statusCode, 404);
});

async function textOf(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

test('containers, of husk serve as an ordinary user', async (t) => {
  using user = ordinaryUser();
  await using server = await serveAs(user);
  const docker = new Client({ socketPath: server.socket });
  const tar = Readable.from([readFileSync(busyboxTar())], { objectMode: false });
  await follow(docker, await docker.importImage(tar, { repo: 'box', tag: '1' }));
  const options = { HostConfig: { NetworkMode: 'none' } };

  const output = new PassThrough();
  const [{ StatusCode }, done] = await docker.run('box:1', ['sh', '-c', 'echo out; exit 3'], output, options);
  t.deepEqual([StatusCode, (await textOf(output)).trim()], [3, 'out']);
  await done.remove();

  const talk = await docker.createContainer({
    ...options,
    name: 'talk',
    Image: 'box:1',
    Cmd: ['sh', '-c', 'read line; echo "got $line"; echo err >&2; exec sleep 1000'],
    OpenStdin: true,
    StdinOnce: true,
  });
  t.deepEqual(
    (await docker.listContainers({ all: true })).map(({ Names }) => Names),
    [['/talk']],
  );
  const stream = await talk.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true });
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  docker.modem.demuxStream(stream, stdout, stderr);
  await talk.start();
  stream.write('hello\n');
  t.is(String((await once(stdout, 'data'))[0]), 'got hello\n');
  // a log is written once a turn of its supervisor, and a client may have its bytes before
  const log = (await talk.logs({ follow: true, stdout: true, stderr: true })) as unknown as Readable;
  t.regex(String((await once(log, 'data'))[0]), /got hello\n/);
  log.destroy();
  t.true((await talk.top()).Processes.length > 0);

  const exec = await talk.exec({ Cmd: ['sh', '-c', 'cat; exit 4'], AttachStdin: true, AttachStdout: true });
  const session = await exec.start({ hijack: true, stdin: true });
  const heard = new PassThrough();
  docker.modem.demuxStream(session, heard, heard);
  session.end('to stdin');
  await once(session, 'end');
  t.is(String(heard.read()), 'to stdin');
  t.like(await exec.inspect(), { ExitCode: 4, Running: false });

  await talk.putArchive(smallTar('put'), { path: '/tmp' });
  t.regex(await textOf(await talk.getArchive({ path: '/tmp/file' })), /put/);
  await talk.rename({ name: 'talked' });
  await talk.kill();
  t.is((await talk.wait()).StatusCode, 137);
  t.like(await talk.inspect(), { Name: '/talked', State: { Status: 'exited', ExitCode: 137 } });
  await talk.remove({ force: true, v: true });
  t.deepEqual(await docker.listContainers({ all: true }), []);
});
