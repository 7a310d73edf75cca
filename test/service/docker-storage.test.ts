/** Docker's own client on images, volumes and networks: what it prints, and how it ends. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { dockerClient, runDocker, type Answer, type DockerClient } from '../fixtures/docker-client.ts';
import { busyboxLayout, missingImageTools, startRegistry } from '../fixtures/images.ts';
import { openApi, openImageApi, smallTar, type ImageApi } from './engine-api/open-api.ts';

const client = dockerClient();
const missing = typeof client === 'string' ? client : missingImageTools();
const real = missing ? test.skip : test;
if (missing) test.skip(`docker: ${missing}`, () => {});

type Docker = (words: string) => Promise<Answer>;

/** The client with a configuration of its own. */
function docker(t: ExecutionContext, { server }: Pick<ImageApi, 'server'>): Docker & { config: string } {
  const config = mkdtempSync(join(tmpdir(), 'husk-docker-'));
  t.teardown(() => rmSync(config, { recursive: true }));
  const run: Docker = (words) => runDocker(client as DockerClient, words.split(' '), { socket: server.socket, config });
  return Object.assign(run, { config });
}

real('pull, push, list and remove, as the client prints them', async (t) => {
  await using registry = await startRegistry();
  for (const tag of ['1', '2']) await registry.push(`oci:${busyboxLayout()}:latest`, `box:${tag}`);
  const api = await openImageApi(t);
  const run = docker(t, api);
  const box = `${registry.host}/box`;
  const pulled = await run(`pull ${box}:1`);
  const [layer] = /^[0-9a-f]{12}/m.exec(pulled.stdout)!;
  t.is(pulled.stderr, '');
  const digest = api.store.get(`${box}:1`).repoDigests[0]!.split('@')[1]!;
  t.deepEqual(pulled.stdout.split('\n'), [
    '1: Pulling from box',
    `${layer}: Pulling fs layer`,
    `${layer}: Verifying Checksum`,
    `${layer}: Download complete`,
    `${layer}: Pull complete`,
    `Digest: ${digest}`,
    `Status: Downloaded newer image for ${box}:1`,
    `${box}:1`,
    '',
  ]);
  t.is((await run(`pull -q ${box}:1`)).stdout, `${box}:1\n`);
  t.regex((await run(`pull -a ${box}`)).stdout, /^2: Pulling from box$/m);
  t.is(
    (await run(`images --format {{.Repository}}:{{.Tag}} ${box}`)).stdout.split('\n').sort().join(' ').trim(),
    `${box}:1 ${box}:2`,
  );
  t.is((await run(`tag ${box}:1 ${registry.host}/copy:3`)).code, 0);
  const pushed = await run(`push ${registry.host}/copy:3`);
  t.is(pushed.code, 0);
  t.regex(pushed.stdout, new RegExp(`^The push refers to repository \\[${registry.host}/copy\\]\n`));
  t.regex(pushed.stdout, /\n3: digest: sha256:[0-9a-f]{64} size: \d+\n$/);
  const nope = await run(`pull ${box}:nope`);
  t.deepEqual(
    [nope.code, nope.stderr],
    [1, `Error response from daemon: manifest for ${box}:nope not found: manifest unknown: manifest unknown\n`],
  );
  const removed = await run(`rmi ${registry.host}/copy:3`);
  t.regex(
    removed.stdout,
    new RegExp(`^Untagged: ${registry.host}/copy:3\nUntagged: ${registry.host}/copy@sha256:[0-9a-f]{64}\n$`),
  );
});

real('a pull on a terminal ends with its layer complete', async (t) => {
  await using registry = await startRegistry();
  await registry.push(`oci:${busyboxLayout()}:latest`, 'box:1');
  const api = await openImageApi(t);
  const { config } = docker(t, api);
  const words = `${(client as DockerClient).path} pull ${registry.host}/box:1`;
  const shown = await new Promise<string>((resolve, reject) => {
    const env = {
      PATH: process.env['PATH'],
      HOME: config,
      DOCKER_CONFIG: config,
      DOCKER_HOST: api.server.host,
      TERM: 'xterm',
    };
    execFile('script', ['-qec', words, '/dev/null'], { env }, (error, stdout) =>
      error ? reject(error) : resolve(stdout),
    );
  });
  t.regex(shown, /1: Pulling from box/);
  t.regex(shown, /Pull complete/);
  t.regex(shown, /Status: Downloaded newer image/);
});

real('login, a pull by it, and without it none', async (t) => {
  await using registry = await startRegistry({ htpasswd: { user: 'me', password: 'secret' } });
  await registry.push(`oci:${busyboxLayout()}:latest`, 'box:1');
  const api = await openImageApi(t);
  const run = docker(t, api);
  const denied = await run(`pull ${registry.host}/box:1`);
  t.is(denied.code, 1);
  t.regex(denied.stderr, /^Error response from daemon: .*no basic auth credentials/);
  writeFileSync(
    join(run.config, 'config.json'),
    JSON.stringify({ auths: { [registry.host]: { auth: Buffer.from('me:secret').toString('base64') } } }),
  );
  t.is((await run(`pull -q ${registry.host}/box:1`)).stdout, `${registry.host}/box:1\n`);
  t.is((await run(`push -q ${registry.host}/box:1`)).code, 0);
});

real('import, inspect, history, save and load', async (t) => {
  const api = await openImageApi(t);
  const run = docker(t, api);
  const tar = join(run.config, 'x.tar');
  writeFileSync(tar, smallTar('x'));
  const words = ['import', '-c', 'LABEL a=b', '-m', 'hello', tar, 'tiny:1'];
  const imported = await runDocker(client as DockerClient, words, { socket: api.server.socket, config: run.config });
  const { id } = api.store.get('tiny:1');
  t.is(imported.stdout, `${id}\n`);
  t.is((await run('image inspect -f {{.Id}}:{{.Comment}} tiny:1')).stdout, `${id}:hello\n`);
  t.is((await run('history --no-trunc --format {{.ID}}:{{.Comment}} tiny:1')).stdout, `${id}:hello\n`);
  const saved = join(run.config, 'saved.tar');
  t.is((await run(`save -o ${saved} tiny:1`)).code, 0);
  t.is((await run('rmi tiny:1')).code, 0);
  t.deepEqual((await run(`load -i ${saved}`)).stdout, 'Loaded image: tiny:1\n');
  t.is((await run('images -q --no-trunc tiny')).stdout, `${id}\n`);
});

const LINES: [line: string, code: number, stdout: RegExp, stderr: RegExp][] = [
  ['volume create va', 0, /^va\n$/, /^$/],
  ['volume create --label a=b vb', 0, /^vb\n$/, /^$/],
  ['volume create va', 0, /^va\n$/, /^$/],
  ['volume ls -q', 0, /^va\nvb\n$/, /^$/],
  ['volume ls -q -f label=a', 0, /^vb\n$/, /^$/],
  ['volume ls -q -f dangling=true', 0, /^va\nvb\n$/, /^$/],
  ['volume inspect -f {{.Driver}}:{{.Options}}:{{.Labels}} va', 0, /^local:map\[\]:map\[\]\n$/, /^$/],
  ['volume inspect nosuch', 1, /^\[\]\n$/, /^Error response from daemon: get nosuch: no such volume\n$/],
  ['volume rm va nosuch', 1, /^va\n$/, /^Error response from daemon: get nosuch: no such volume\n$/],
  ['volume prune -f', 0, /^Total reclaimed space: 0B\n$/, /^$/],
  ['volume prune -af', 0, /^Deleted Volumes:\nvb\n\nTotal reclaimed space: 0B\n$/, /^$/],
  ['network create --subnet 10.9.0.0/24 --label a=b net1', 0, /^[0-9a-f]{64}\n$/, /^$/],
  ['network create --internal --attachable -o com.docker.network.driver.mtu=1400 net2', 0, /^[0-9a-f]{64}\n$/, /^$/],
  ['network create net1', 1, /^$/, /^Error response from daemon: network with name net1 already exists\n$/],
  [
    'network create bridge',
    1,
    /^$/,
    /^Error response from daemon: operation is not permitted on predefined bridge network\n$/,
  ],
  ['network create -d overlay net3', 1, /^$/, /it is of Swarm, which husk has not/],
  [
    'network ls --format {{.Name}}:{{.Driver}}:{{.Scope}}',
    0,
    /^bridge:bridge:local\nhost:host:local\nnet1:bridge:local\nnet2:bridge:local\nnone:null:local\n$/,
    /^$/,
  ],
  ['network ls -q -f label=a=b', 0, /^[0-9a-f]{12}\n$/, /^$/],
  ['network ls -f nope=x', 1, /^$/, /^Error response from daemon: invalid filter 'nope'\n$/],
  [
    'network inspect -f {{(index$.IPAM.Config$0).Gateway}}:{{.Internal}}:{{.Labels.a}} net1',
    0,
    /^10\.9\.0\.1:false:b\n$/,
    /^$/,
  ],
  [
    'network inspect -v -f {{.Internal}}:{{.Attachable}}:{{.Options}} net2',
    0,
    /^true:true:map\[com\.docker\.network\.driver\.mtu:1400\]\n$/,
    /^$/,
  ],
  ['network connect --alias x --ip 10.9.0.20 net1 n1', 0, /^$/, /^$/],
  [
    'network connect net1 n1',
    1,
    /^$/,
    /^Error response from daemon: endpoint with name n1 already exists in network net1\n$/,
  ],
  ['network connect net1 nosuch', 1, /^$/, /^Error response from daemon: No such container: nosuch\n$/],
  ['network inspect -f {{len$.Containers}} net1', 0, /^1\n$/, /^$/],
  [
    'network rm net1',
    1,
    /^$/,
    /^Error response from daemon: error while removing network: network net1 .*has active endpoints/,
  ],
  ['network disconnect net1 n1', 0, /^$/, /^$/],
  [
    'network disconnect -f net1 n1',
    1,
    /^$/,
    /^Error response from daemon: container [0-9a-f]{64} is not connected to the network net1\n$/,
  ],
  [
    'network rm net1 nosuch',
    1,
    /^net1\n$/,
    /^Error response from daemon: network nosuch not found\n(exit status 1\n)?$/,
  ],
  ['network prune -f', 0, /^Deleted Networks:\nnet2\n\n$/, /^$/],
  [
    'network rm host',
    1,
    /^$/,
    /^Error response from daemon: host is a pre-defined network and cannot be removed\n(exit status 1\n)?$/,
  ],
];
real('volumes and networks', async (t) => {
  const api = await openApi(t);
  const { createOptions } = await import('../engine/fixture.ts');
  const { id } = await api.engine.create(createOptions({ name: 'n1', network: 'bridge', command: ['sleep', '1000'] }));
  await api.engine.start(id);
  const run = docker(t, api);
  for (const [line, code, stdout, stderr] of LINES) {
    const words = line.split(' ').map((word) => word.replaceAll('$', ' '));
    const answer = await runDocker(client as DockerClient, words, { socket: api.server.socket, config: run.config });
    t.is(answer.code, code, `${line}: ${answer.stderr}`);
    t.regex(answer.stdout, stdout, line);
    t.regex(answer.stderr, stderr, line);
  }
});
