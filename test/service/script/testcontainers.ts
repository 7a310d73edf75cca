/**
 * testcontainers as its users write with it. Run as a program of its own by `test/service/testcontainers.test.ts`: the
 * arguments are the steps' names, DOCKER_HOST names the server, and each step's outcome is a line of JSON.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import {
  DockerComposeEnvironment,
  GenericContainer,
  getContainerRuntimeClient,
  Network,
  type StartedTestContainer,
  Wait,
} from 'testcontainers';

/** ms for a container to be ready; for what hangs, on a machine that is busy with other tests */
const PATIENCE = 300_000;

const container = (image = 'bb'): GenericContainer => new GenericContainer(image).withStartupTimeout(PATIENCE);

const web = (page: string): GenericContainer =>
  container()
    .withCopyContentToContainer([{ content: page, target: '/www/index.html' }])
    .withCommand(['httpd', '-f', '-p', '80', '-h', '/www']);

/** one that waits for nothing but its start */
const idle = (): GenericContainer =>
  container().withCommand(['sleep', '3000']).withWaitStrategy(Wait.forSuccessfulCommand('true'));

async function pageOf(started: StartedTestContainer, port = 80): Promise<string> {
  const answer = await fetch(`http://${started.getHost()}:${started.getMappedPort(port)}/index.html`);
  return answer.text();
}

/** Sends lines to a published port, each once the one before is answered. @returns the answers */
async function answersTo(lines: string[], { host, port }: { host: string; port: number }): Promise<string[]> {
  const socket = connect(port, host);
  const answers: string[] = [];
  for (const line of lines) {
    socket.write(`${line}\r\n`);
    const [bytes] = (await once(socket, 'data')) as [Buffer];
    answers.push(bytes.toString());
  }
  socket.destroy();
  return answers;
}

/** Reads a log that is followed, up to a word. */
async function readTo(log: Readable, word: string): Promise<string> {
  let seen = '';
  for await (const chunk of log) {
    seen += String(chunk);
    if (seen.includes(word)) break;
  }
  return seen;
}

const steps: Record<string, () => Promise<void>> = {
  // the example of testcontainers' quick start, with more patience; its client of Redis sends the same two commands
  async readme() {
    const started = await container('redis:8').withExposedPorts(6379).start();
    const place = { host: started.getHost(), port: started.getMappedPort(6379) };
    assert.deepEqual(await answersTo(['SET key val', 'GET key'], place), ['+OK\r\n', '$3\r\nval\r\n']);
    await started.stop();
  },

  async port() {
    await using started = await web('by a port').withExposedPorts(80).start();
    assert.equal(await pageOf(started), 'by a port');
    assert.notEqual(started.getMappedPort(80), 80);
    const refused = started.getMappedPort(80);
    await started.stop();
    await assert.rejects(fetch(`http://${started.getHost()}:${refused}/`));
  },

  async log() {
    await using started = await container()
      .withEnvironment({ GREETING: 'good day' })
      .withCopyContentToContainer([{ content: 'to all', target: '/srv/here/whom', mode: 0o640 }])
      .withCommand(['sh', '-c', 'echo before; echo "$GREETING $(cat /srv/here/whom)"; exec sleep 3000'])
      .withWaitStrategy(Wait.forLogMessage(/good day to .*/))
      .start();
    assert.equal(await readTo(await started.logs(), 'all'), 'before\ngood day to all\n');
    const ran = await started.exec(['sh', '-c', 'pwd; id -u; echo "$A" >&2; exit 3'], {
      workingDir: '/srv',
      user: '33',
      env: { A: 'b' },
    });
    assert.deepEqual([ran.exitCode, ran.stdout, ran.stderr], [3, '/srv\n33\n', 'b\n']);
    const archive = await text(await started.copyArchiveFromContainer('/srv/here/whom'));
    assert.equal(archive.slice(0, 4), 'whom');
    assert.match(archive, /to all/);
  },

  async health() {
    await using started = await container()
      .withCommand(['sh', '-c', 'sleep 1; touch /tmp/ready; exec sleep 3000'])
      .withHealthCheck({ test: ['CMD-SHELL', 'test -f /tmp/ready'], interval: 250, timeout: PATIENCE, retries: 1000 })
      .withWaitStrategy(Wait.forHealthCheck())
      .start();
    assert.equal((await started.exec('test -f /tmp/ready')).exitCode, 0);
  },

  async http() {
    await using started = await web('by http')
      .withExposedPorts(80)
      .withWaitStrategy(Wait.forHttp('/index.html', 80).forResponsePredicate((body) => body === 'by http'))
      .start();
    assert.equal(await pageOf(started), 'by http');
  },

  async shell() {
    await using started = await container()
      .withCommand(['sh', '-c', 'sleep 1; touch /tmp/ready; exec sleep 3000'])
      .withWaitStrategy(Wait.forSuccessfulCommand('test -f /tmp/ready'))
      .start();
    assert.equal((await started.exec('test -f /tmp/ready')).exitCode, 0);
  },

  async 'one-shot'() {
    const oneShot = (command: string): GenericContainer =>
      container().withCommand(['sh', '-c', command]).withWaitStrategy(Wait.forOneShotStartup());
    await using started = await oneShot('echo once').start();
    assert.equal(await text(await started.logs()), 'once\n');
    await assert.rejects(oneShot('exit 3').start());
  },

  async network() {
    await using network = await new Network().start();
    await using server = await web('by a name').withNetwork(network).withNetworkAliases('the-server').start();
    await using client = await idle().withNetwork(network).start();
    const asked = await client.exec(['wget', '-qO-', 'http://the-server/index.html']);
    assert.deepEqual([asked.exitCode, asked.stdout], [0, 'by a name']);
    assert.match(server.getIpAddress(network.getName()), /^\d+\.\d+\.\d+\.\d+$/);
    assert.equal(server.getNetworkId(network.getName()), network.getId());
  },

  async restart() {
    await using started = await web('again').withExposedPorts(80).start();
    await started.exec('touch /srv-kept');
    await started.restart();
    assert.equal((await started.exec('test -f /srv-kept')).exitCode, 0);
    assert.equal(await pageOf(started), 'again');
  },

  async build() {
    const context = mkdtempSync(join(tmpdir(), 'context-'));
    mkdirSync(join(context, 'www'));
    writeFileSync(join(context, 'www/index.html'), 'by a build');
    writeFileSync(
      join(context, 'Dockerfile'),
      [
        'FROM bb',
        'ARG SUFFIX=none',
        'COPY www /www',
        'RUN printf " of %s" "$SUFFIX" >>/www/index.html',
        'EXPOSE 80',
        'CMD ["httpd", "-f", "-p", "80", "-h", "/www"]',
        '',
      ].join('\n'),
    );
    const image = await GenericContainer.fromDockerfile(context).withBuildArgs({ SUFFIX: 'ours' }).build();
    await using started = await image.withStartupTimeout(PATIENCE).withExposedPorts(80).start();
    assert.equal(await pageOf(started), 'by a build of ours');
    writeFileSync(join(context, 'Dockerfile'), 'FROM bb\nRUN exit 7\n');
    await assert.rejects(GenericContainer.fromDockerfile(context).build());
  },

  async reuse() {
    const reusable = (): GenericContainer => idle().withLabels({ step: 'reuse' }).withReuse();
    const first = await reusable().start();
    const second = await reusable().start();
    assert.equal(second.getId(), first.getId());
    await second.stop();
  },

  async commit() {
    await using started = await idle().start();
    await started.exec(['sh', '-c', 'echo kept >/committed']);
    const id = await started.commit({ repo: 'committed', tag: 'once', changes: ['CMD ["cat", "/committed"]'] });
    assert.match(id, /^sha256:[0-9a-f]{64}$/);
    await using copy = await container('committed:once').withWaitStrategy(Wait.forOneShotStartup()).start();
    assert.equal(await text(await copy.logs()), 'kept\n');
  },

  async compose() {
    const folder = mkdtempSync(join(tmpdir(), 'compose-'));
    // Neither program heeds SIGTERM as the first of its container.
    const base = { image: 'bb', stop_grace_period: '1s' };
    const services = {
      web: { ...base, command: 'httpd -f -p 80 -h /etc', ports: ['80'] },
      client: { ...base, command: 'sleep 3000', depends_on: ['web'] },
    };
    writeFileSync(join(folder, 'compose.yaml'), JSON.stringify({ services }));
    await using environment = await new DockerComposeEnvironment(folder, 'compose.yaml')
      .withStartupTimeout(PATIENCE)
      .withWaitStrategy('client-1', Wait.forSuccessfulCommand('true'))
      .up();
    const started = environment.getContainer('web-1');
    const answer = await fetch(`http://${started.getHost()}:${started.getMappedPort(80)}/os-release`);
    assert.match(await answer.text(), /husk-base/);
    const asked = await environment.getContainer('client-1').exec(['wget', '-qO-', 'http://web/os-release']);
    assert.match(asked.stdout, /husk-base/);
    await environment.down();
  },

  // The reaper is a container that has the server's socket mounted and is told this session's label.
  async ryuk() {
    await using started = await idle().start();
    const client = await getContainerRuntimeClient();
    const reapers = (await client.container.list()).filter(
      ({ Labels }) => Labels['org.testcontainers.ryuk'] === 'true',
    );
    assert.equal(reapers.length, 1);
    const session = started.getLabels()['org.testcontainers.session-id']!;
    assert.equal(reapers[0]!.Labels['org.testcontainers.session-id'], session);
    // What was sent arrives when it arrives.
    const awaited = `until grep -q "session-id=${session}" /tmp/lines; do sleep 0.1; done; test -S /var/run/docker.sock`;
    const reaper = client.container.getById(reapers[0]!.Id);
    assert.equal((await client.container.exec(reaper, ['sh', '-c', awaited])).exitCode, 0);
    // It is one that is removed when it ends.
    await client.container.stop(reaper, { timeout: 0 });
  },
};

// testcontainers does not hold the program for a log that is read; a test runner would.
setInterval(() => {}, PATIENCE);
for (const name of process.argv.slice(2)) {
  const begun = Date.now();
  const error = await steps[name]!().then(
    () => undefined,
    (reason: unknown) => String(reason instanceof Error ? reason.stack : reason),
  );
  console.log(JSON.stringify({ name, error, ms: Date.now() - begun }));
}
// A followed log that is left keeps its connection; nothing more is asked of it.
process.exit(0);
