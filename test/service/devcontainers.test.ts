/**
 * The dev containers CLI over `husk serve`, as an ordinary user: a container of an image, and one that is built with a
 * feature on top.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { dockerClient } from '../fixtures/docker-client.ts';
import { missingPlugins, putPlugins } from '../fixtures/docker-plugins.ts';
import { HUSK, ordinaryUser, ROOT, type Result, type TestUser } from '../fixtures/user.ts';
import { serveAs, type TestServer } from './fixture.ts';

const CLI = join(ROOT, 'node_modules/@devcontainers/cli/devcontainer.js');
const client = dockerClient();
/** a feature that lies beside the configuration */
const TOOL = {
  '.devcontainer/tool/devcontainer-feature.json': JSON.stringify({
    id: 'tool',
    version: '1.0.0',
    name: 'A tool',
    options: { word: { type: 'string', default: 'none' } },
  }),
  '.devcontainer/tool/install.sh':
    'set -e; printf "#!/bin/sh\\necho $WORD\\n" >/usr/local/bin/tool; chmod +x /usr/local/bin/tool\n',
};
const built = existsSync(join(ROOT, 'dist/husk-main.cjs')) && existsSync('/bin/busybox');
const check = built && typeof client !== 'string' ? test : test.skip;

interface Workspace {
  user: TestUser;
  /** `devcontainer up` or `exec`, in the workspace */
  devcontainer(command: string, ...words: string[]): Result;
}

/** @param files paths in the workspace and what is in them */
function workspaceOf(user: TestUser, server: TestServer, files: Record<string, string>): Workspace {
  const tree = execFileSync(join(ROOT, 'setup/base-tree'), { maxBuffer: 64 << 20 });
  const imported = user.run([HUSK, 'import', '-', 'base'], { input: tree });
  if (imported.status !== 0) throw new Error(imported.stderr);
  const folder = join(user.home, 'workspace');
  for (const [name, input] of Object.entries(files)) {
    const path = join(folder, name);
    user.run(['mkdir', '-p', dirname(path)]);
    user.run(['tee', path], { input });
  }
  const path = typeof client !== 'string' && client.path.includes('/') ? `${dirname(client.path)}:` : '';
  const env = {
    PATH: `${path}${user.env['PATH']}`,
    DOCKER_HOST: server.host,
    // It asks containers.dev for advice: nobody answers, at once.
    HTTPS_PROXY: 'http://127.0.0.1:9',
  };
  return {
    user,
    devcontainer: (command, ...words) =>
      user.run([process.execPath, CLI, command, '--workspace-folder', folder, ...words], { env }),
  };
}

function up(t: ExecutionContext, { devcontainer }: Workspace, ...words: string[]): string {
  const { status, stdout, stderr } = devcontainer('up', ...words);
  t.is(status, 0, stderr);
  const { outcome, containerId } = JSON.parse(stdout) as { outcome: string; containerId: string };
  t.is(outcome, 'success');
  return containerId;
}

check('up of an image, again, and exec', async (t) => {
  using user = ordinaryUser();
  await using server = await serveAs(user);
  const workspace = workspaceOf(user, server, {
    '.devcontainer/devcontainer.json': JSON.stringify({
      image: 'base',
      containerEnv: { GREETING: 'good day' },
      postCreateCommand: 'echo "$GREETING" >/made; echo back >from-inside',
    }),
  });
  const id = up(t, workspace);
  t.is(up(t, workspace), id);
  const ran = workspace.devcontainer('exec', 'sh', '-c', 'pwd; cat /made from-inside; echo odd >&2; exit 3');
  t.deepEqual([ran.status, ran.stdout], [3, '/workspaces/workspace\ngood day\nback\n']);
  t.true(ran.stderr.includes('odd'));
  t.is(user.husk('rm', '--force', id).status, 0);
});

/** A feature of the workspace on top: it is a context by name where buildx is there. */
async function withFeature(t: ExecutionContext, prepare: (user: TestUser) => string[]): Promise<void> {
  using user = ordinaryUser();
  await using server = await serveAs(user);
  const words = prepare(user);
  const workspace = workspaceOf(user, server, {
    '.devcontainer/devcontainer.json': JSON.stringify({
      build: { dockerfile: 'Dockerfile' },
      features: { './tool': { word: 'evening' } },
    }),
    '.devcontainer/Dockerfile': 'FROM base\nRUN echo built >/built\n',
    ...TOOL,
  });
  const id = up(t, workspace, ...words);
  const ran = workspace.devcontainer('exec', 'sh', '-c', 'cat /built; tool');
  t.deepEqual([ran.status, ran.stdout], [0, 'built\nevening\n'], ran.stderr);
  t.is(user.husk('rm', '--force', id).status, 0);
}

check('up of a Dockerfile with a feature on top, by the classic builder', async (t) => {
  await withFeature(t, () => ['--buildkit', 'never']);
});

const withoutPlugins = missingPlugins();
const withPlugins = withoutPlugins === undefined ? check : test.skip;
withPlugins(
  `up of a Dockerfile with a feature on top, by buildx${withoutPlugins ? ` (${withoutPlugins})` : ''}`,
  async (t) => {
    await withFeature(t, (user) => {
      const config = join(user.home, '.docker');
      // buildx writes there too.
      user.run(['mkdir', config]);
      putPlugins(config);
      return [];
    });
  },
);

withPlugins('up of a service of a compose file with a feature on top (devcontainers/cli#863)', async (t) => {
  using user = ordinaryUser();
  await using server = await serveAs(user);
  const config = join(user.home, '.docker');
  user.run(['mkdir', config]);
  putPlugins(config);
  const workspace = workspaceOf(user, server, {
    '.devcontainer/devcontainer.json': JSON.stringify({
      dockerComposeFile: 'compose.yaml',
      service: 'app',
      workspaceFolder: '/',
      features: { './tool': { word: 'evening' } },
    }),
    '.devcontainer/compose.yaml': 'services:\n  app:\n    build: .\n    command: sleep 1000\n    network_mode: none\n',
    '.devcontainer/Dockerfile': 'FROM base\nRUN echo built >/built\n',
    ...TOOL,
  });
  const id = up(t, workspace);
  const ran = workspace.devcontainer('exec', 'sh', '-c', 'cat /built; tool');
  t.deepEqual([ran.status, ran.stdout], [0, 'built\nevening\n'], ran.stderr);
  t.is(user.husk('rm', '--force', id).status, 0);
});
