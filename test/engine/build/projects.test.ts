/**
 * Whole projects, as people have them (projects.ts). Always with programs that stand in for what they install; with
 * HUSK_TEST_BUILD_PROJECTS=1 as they are, with Debian's packages and npm's, and what was built is run.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { debianTar } from '../../fixtures/images.ts';
import { HUSK, ordinaryUser, ROOT, type TestUser } from '../../fixtures/user.ts';
import { huskIn } from './golden-case.ts';
import { copyOf, PROJECTS, projects, testProjects } from './projects.ts';

const ASKED = process.env['HUSK_TEST_BUILD_PROJECTS'] !== undefined;

testProjects(huskIn, 'userns');

// — as they are —

const real = ASKED && existsSync(join(ROOT, 'dist/husk-main.cjs')) ? test.serial : test.serial.skip;
const CERTIFICATES = '/etc/ssl/certs/ca-certificates.crt';

function userWithDebian(t: ExecutionContext): TestUser {
  const user = ordinaryUser();
  t.teardown(() => {
    user.husk('rm', '-f', ...user.husk('ps', '-aq').stdout.split('\n').filter(Boolean));
    user[Symbol.dispose]();
  });
  const imported = user.run([
    'sh',
    '-c',
    `exec "$@" <${debianTar()}`,
    'sh',
    HUSK,
    'import',
    '-c',
    'CMD ["bash"]',
    '-',
    'deb',
  ]);
  t.is(imported.status, 0, imported.stderr);
  return user;
}

real('the projects as they are are built and run', (t) => {
  const user = userWithDebian(t);
  const folder = join(user.home, 'projects');
  for (const name of Object.keys(projects)) copyOf(name, folder);
  cpSync(CERTIFICATES, join(folder, 'node-app/ca.crt'));
  mkdirSync(join(folder, 'tools'));
  writeFileSync(
    join(folder, 'tools/Dockerfile'),
    'FROM deb\nRUN apt-get update && apt-get install -y --no-install-recommends nginx-light python3 curl\n',
  );
  execFileSync('chown', ['-R', `${user.uid}:${user.gid}`, folder]);
  const run = (...words: string[]) => {
    const { status, stdout, stderr } = user.husk(...words);
    t.is(status, 0, `husk ${words.join(' ')}: ${stderr}`);
    return stdout + stderr;
  };
  const build = (name: string, ...words: string[]): string =>
    run(
      'build',
      '--progress=plain',
      '--allow=network.host',
      '--network=host',
      ...words,
      '-t',
      name,
      `projects/${name}`,
    );
  /** Asks again until a program in a container answers. */
  const ask = (container: string, ...command: string[]): string =>
    run(
      'exec',
      container,
      'sh',
      '-c',
      'for i in $(seq 600); do "$@" && exit; sleep 0.1; done; exit 1',
      'sh',
      ...command,
    );
  const start = (name: string): void => void run('run', '-d', '--network=none', '--name', name, name);

  build('apt-cache');
  t.is(run('run', '--rm', '--network=none', 'apt-cache'), 'Hello, world!\n');
  // The lists and packages of the first are in the caches still: nothing of it is fetched again.
  t.notRegex(build('apt-cache', '--no-cache').replace(/InRelease/g, ''), /^#\d+ [\d.]+ Get:\d+ \S+ \S+ amd64 hello /m);

  build('c-static');
  t.is(run('run', '--rm', '--network=none', 'c-static'), 'hello from scratch\n');

  build('tools');
  build('python-app');
  start('python-app');
  t.regex(ask('python-app', 'curl', '-fsS', 'http://127.0.0.1:8000/main.py'), /^print\("x"\)/m);
  const health = ['inspect', '--format', '{{.State.Health.Status}}', 'python-app'];
  for (let left = 600; run(...health).trim() === 'starting' && left > 0; left--) user.run(['sleep', '0.1']);
  t.is(run(...health).trim(), 'healthy');
  t.is(run('exec', 'python-app', 'id', '-un').trim(), 'web');

  build('nginx-site');
  start('nginx-site');
  const page = readFileSync(join(PROJECTS, 'nginx-site/site/index.html'), 'utf8');
  t.true(ask('nginx-site', 'curl', '-fsS', 'http://127.0.0.1:8080/').includes(page.trim()));
  t.regex(run('logs', 'nginx-site'), /"GET \/ HTTP\/1\.1" 200/);

  build('node-app', '--secret', 'id=ca,src=projects/node-app/ca.crt');
  t.regex(build('node-app', '--secret', 'id=ca,src=projects/node-app/ca.crt', '--target=test'), /# pass 1|pass 1$/m);
  build('node-app', '--secret', 'id=ca,src=projects/node-app/ca.crt');
  start('node-app');
  const get =
    "require('http').get('http://127.0.0.1:3000',r=>r.on('data',d=>process.stdout.write(d+'\\n'))).on('error',()=>process.exit(1))";
  t.regex(ask('node-app', 'node', '-e', get), /^1m$/m);
  t.is(run('exec', 'node-app', 'id', '-u').trim(), '1000');
});
