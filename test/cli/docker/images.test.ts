/**
 * `manifest`, `search` and `images --tree` through Docker's real client and through husk: the same registry, the same
 * answers of an engine, and the same output. docs/differences.md names what is left out here on purpose.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { Engine } from '../../../src/engine/contract.ts';
import { dockerClient, runDocker, type DockerClient } from '../../fixtures/docker-client.ts';
import { startFakeDockerEngine } from '../../fixtures/fake-docker-engine.ts';
import { busyboxLayout, missingImageTools, startRegistry } from '../../fixtures/images.ts';
import { testStore } from '../../images/store.ts';
import { husk, image } from '../fake-context.ts';

const found = dockerClient();
const client = (typeof found === 'string' ? undefined : found) as DockerClient;
const missing = typeof found === 'string' ? found : missingImageTools();
/** what these lines print has changed between versions of the client: 28's is what husk follows */
const beside = missing !== undefined || client.major < 28 ? test.skip : test;
if (missing !== undefined) test(`beside Docker's client: skipped: ${missing}`, (t) => t.pass());

/** H is the registry; `?` begins a line whose error text is husk's own */
const LINES = `
manifest inspect H/v2:1
manifest inspect -v H/v2:1
manifest inspect -v H/one:1
manifest inspect H/none:1
manifest inspect -v H/one:1@DIGEST
manifest inspect H/one@sha256:${'a'.repeat(64)}
manifest create H/l:1 H/one:1 H/some/two:2
manifest create H/l:1 H/v2:1
manifest create BAD H/one:1
manifest create H/x H/none
manifest inspect H/l:1
manifest inspect -v H/l:1
manifest inspect H/l:1 H/v2:1
manifest inspect -v H/l:1 H/one:1
manifest annotate H/l:1 H/some/two:2 --variant v8 --os-features a,b --os-version 7
manifest annotate H/l:1 H/some/two:2
?manifest annotate H/l:1 H/some/two:2 --arch toaster
manifest annotate H/l:1 none --arch arm64
manifest annotate none H/one:1 --arch arm64
manifest annotate BAD H/one:1 --arch arm64
manifest inspect H/l:1
manifest push H/l:1
manifest push -p H/l:1
manifest push H/l:1
manifest rm H/l:1
manifest inspect H/l:1
manifest inspect -v H/l:1
?manifest create H/m H/l:1
manifest create -a H/m H/one:1
manifest create -a H/m H/some/two:2
manifest inspect H/m
manifest rm H/m
manifest create other.example/l H/one:1
manifest push other.example/l
manifest rm other.example/l
`;
const TAKES_INSECURE = /^manifest (?:inspect|create|push)\b/;

beside("manifest commands, line by line, beside Docker's client", async (t) => {
  await using registry = await startRegistry();
  await registry.push(`oci:${busyboxLayout()}:latest`, 'one:1');
  await registry.push(`oci:${busyboxLayout({ config: ['--architecture', 'arm64'] })}:latest`, 'some/two:2');
  await registry.push(`oci:${busyboxLayout()}:latest`, 'v2:1', { format: 'v2s2' });
  const config = mkdtempSync(join(tmpdir(), 'husk-docker-'));
  using s = testStore();
  const engine = { images: s.store } as unknown as Partial<Engine>;
  const { manifests } = await (await s.store.manifestLists()).inspect(`${registry.host}/one:1`);
  try {
    for (const line of LINES.trim().split('\n')) {
      const text = line.replace(/^\?/, '');
      const words = text
        .replaceAll('H/', `${registry.host}/`)
        .replace('DIGEST', manifests[0]!.digest)
        .split(' ')
        // The client does not know that loopback is insecure.
        .toSpliced(2, 0, ...(TAKES_INSECURE.test(text) ? ['--insecure'] : []));
      const docker = await runDocker(client, words, { config });
      const own = await husk(words, { engine });
      t.deepEqual([own.code, own.stdout], [docker.code, docker.stdout], line);
      if (line === text) t.is(own.stderr.replace(/^Error: /, ''), docker.stderr, line);
    }
  } finally {
    rmSync(config, { recursive: true });
  }
});

const RESULTS = [
  {
    name: 'alpine',
    description: 'A minimal image based on Alpine Linux with a complete index',
    star_count: 11,
    is_official: true,
  },
  { name: 'me/x', description: '', star_count: 0, is_official: false },
];
const SEARCHES = [
  [],
  ['--no-trunc'],
  ['--format', 'json'],
  ['--format', 'table {{.Name}}\t{{.StarCount}}\t{{.IsOfficial}}\t{{.Description}}'],
  ['--format', '{{.Nope}}'],
  ['--format', 'raw'],
];
const LONG = 'registry.example.com:5000/some/very/long/repository/name:v1.2.3';
const IMAGES = [
  image({ repoTags: ['alpine:3', 'localhost:5000/mine:v1'], created: '2026-01-01T00:00:03Z' }),
  image({ id: `sha256:${'c'.repeat(64)}`, repoTags: [], created: '2026-01-01T00:00:02Z' }),
  image({ id: `sha256:${'d'.repeat(64)}`, repoTags: [LONG], created: '2026-01-01T00:00:01Z' }),
];

beside("search and images --tree, beside Docker's client", async (t) => {
  const config = mkdtempSync(join(tmpdir(), 'husk-docker-'));
  const socket = join(config, 'engine.sock');
  const listed = IMAGES.map(({ id, repoTags, size, config: { created } }) => ({
    Id: id,
    RepoTags: repoTags,
    Created: Date.parse(created!) / 1000,
    Size: size,
  }));
  const answers = { '/images/search': RESULTS, '/images/json': listed };
  await using _engine = await startFakeDockerEngine(socket, answers, '1.48');
  const images = {
    search: async () => ({
      host: 'docker.io',
      by: 'search',
      complete: true,
      results: RESULTS.map(({ name, description, star_count: stars, is_official: official }) => ({
        name,
        description,
        stars,
        official,
      })),
    }),
    list: () => IMAGES,
    platforms: () => [],
  };
  const engine = { images, imageUsers: () => [] } as unknown as Partial<Engine>;
  try {
    for (const words of SEARCHES.map((each) => ['search', ...each, 'x']).concat([
      ['images', '--tree'],
      ['images', '--tree', '-a'],
    ])) {
      const docker = await runDocker(client, words, { socket, config });
      const own = await husk(words, { engine });
      // The client colours its headers in files too.
      t.deepEqual([own.code, own.stdout], [docker.code, docker.stdout.replaceAll(/\x1b\[\d*m/g, '')], words.join(' '));
    }
  } finally {
    rmSync(config, { recursive: true });
  }
});
