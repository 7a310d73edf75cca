/**
 * Data roots that husks of before have left (data-roots/, one for each version of the schema that had containers;
 * data-roots/make makes them): this husk reads them, brings them forward once, and runs what is in them. One of a newer
 * husk is refused in one line, and stays as it is.
 */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import test from 'ava';
import { openDatabase } from '../../src/state/database.ts';
import { temporaryFolder } from '../fixtures/temporary.ts';
import { HUSK, ordinaryUser, type TestUser } from '../fixtures/user.ts';

const FOLDER = join(import.meta.dirname, 'data-roots');
const KEPT = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.tar.gz'))
  .sort();
/** the schema's version today */
const NEWEST = newestVersion();
/** husk commands that find an old data root at the same moment */
const AT_ONCE = 4;

/** @returns the data root's database */
function unpack(user: TestUser, archive: string): string {
  const root = join(user.env['XDG_DATA_HOME']!, 'husk');
  user.run(['mkdir', '-m', '700', root]);
  const { status, stderr } = user.run(['tar', '-xzf', '-', '-C', root], { input: readFileSync(join(FOLDER, archive)) });
  if (status !== 0) throw new Error(stderr);
  const file = join(root, 'husk.db');
  // a data root stays where it was made: the sources of a container's volumes are whole paths
  const [made] = /(?<=")\/var\/tmp\/husk-old\.\w+\/home\/root(?=\/)/.exec(
    String(query(file, "SELECT config FROM containers WHERE name = 'made'")),
  )!;
  query(file, `UPDATE containers SET config = replace(config, '${made}', '${root}')`);
  user.run(['find', root, '-name', '*.json', '-exec', 'sed', '-i', `s|${made}|${root}|g`, '{}', '+']);
  return file;
}

function query(file: string, sql: string): unknown {
  using database = new DatabaseSync(file);
  return Object.values(database.prepare(sql).get() ?? {})[0];
}

function newestVersion(): number {
  const file = join(temporaryFolder('husk-schema-'), 'husk.db');
  openDatabase(file).close();
  return Number(query(file, 'PRAGMA user_version'));
}

test('there is one of each schema before this one that had containers', (t) => {
  const wanted = Array.from({ length: NEWEST - 2 }, (_, index) => `schema-${index + 2}.tar.gz`);
  t.deepEqual(
    wanted.filter((name) => !KEPT.includes(name)),
    [],
  );
});

for (const archive of KEPT) {
  test(`${archive}: what is in it is there, and runs`, (t) => {
    using user = ordinaryUser();
    const file = unpack(user, archive);
    t.is(`schema-${query(file, 'PRAGMA user_version')}.tar.gz`, archive);
    const says = (...args: string[]): string => {
      const { status, stdout, stderr } = user.husk(...args);
      t.is(status, 0, `${args.join(' ')}: ${stderr}`);
      t.is(stderr, '', args.join(' '));
      return stdout;
    };
    t.is(
      says('ps', '-a', '--format', '{{.Names}} {{.Image}} {{.State}}'),
      'made old/hello:1 created\nran old/hello:1 exited\n',
    );
    t.is(query(file, 'PRAGMA user_version'), NEWEST);
    // what they asked for then is a row now
    t.is(query(file, "SELECT count(*) FROM endpoints WHERE network = 'none'"), 2);
    t.is(says('images', '--format', '{{.Repository}}:{{.Tag}}'), 'old/hello:1\n');
    t.is(says('volume', 'ls', '--format', '{{.Name}} {{.Label "of"}}'), 'kept old\n');
    t.is(says('logs', 'ran'), 'hello\n');
    t.is(says('inspect', '-f', '{{.State.ExitCode}} {{.Config.Labels.which}}', 'ran'), '0 ran\n');
    t.is(
      says('inspect', '-f', '{{.HostConfig.RestartPolicy.Name}} {{index .Config.Env 0}}', 'made'),
      'unless-stopped A=b\n',
    );
    t.is(says('ps', '-a', '--filter', 'volume=kept', '--filter', 'status=exited', '--format', '{{.Names}}'), 'ran\n');
    t.regex(user.husk('volume', 'rm', 'kept').stderr, /volume is in use/);
    says('update', '--restart', 'no', 'made');
    t.is(says('start', '-a', 'made'), 'hello\n');
    t.is(says('start', '-a', 'ran'), 'hello\n');
    t.is(says('run', '--rm', '--network', 'none', 'old/hello:1'), 'hello\n');
    t.is(says('system', 'check', '--format', 'json'), '');
    says('rm', 'made', 'ran');
    says('volume', 'rm', 'kept');
    says('rmi', 'old/hello:1');
  });

  test(`${archive}: several commands at once bring it forward once`, async (t) => {
    using user = ordinaryUser();
    const file = unpack(user, archive);
    const ended = await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        const child = user.start([HUSK, 'ps', '-aq'], { stdio: ['ignore', 'pipe', 'pipe'] });
        const said = { out: '', err: '' };
        child.stdout!.on('data', (text: Buffer) => (said.out += text));
        child.stderr!.on('data', (text: Buffer) => (said.err += text));
        const [code] = (await once(child, 'close')) as [number];
        return { code, lines: said.out.trim().split('\n').length, err: said.err };
      }),
    );
    t.deepEqual(
      ended,
      ended.map(() => ({ code: 0, lines: 2, err: '' })),
    );
    t.is(query(file, 'PRAGMA user_version'), NEWEST);
  });
}

const ASKED: [args: string[], code: number][] = [
  [['ps'], 1],
  [['images'], 1],
  [['logs', 'ran'], 1],
  [['start', 'made'], 1],
  [['rm', '-f', 'made'], 1],
  [['volume', 'prune', '-f'], 1],
  [['system', 'check', '--repair'], 1],
  [['run', '--rm', 'old/hello:1'], 125],
];
test('one of a newer husk is refused in one line, and stays as it is', (t) => {
  using user = ordinaryUser();
  const file = unpack(user, KEPT.at(-1)!);
  query(file, `PRAGMA user_version = ${NEWEST + 1}`);
  const tree = () =>
    spawnSync('find', [join(file, '..'), '-type', 'f', '!', '-name', 'husk.db-*', '-exec', 'sha256sum', '{}', '+'], {
      encoding: 'utf8',
    }).stdout;
  const before = tree();
  t.true(before.includes('/husk.db\n'));
  for (const [args, code] of ASKED) {
    const { status, stdout, stderr } = user.husk(...args);
    t.deepEqual([status, stdout], [code, ''], args.join(' '));
    t.is(
      stderr.replace(/\nRun 'husk .*\n$/, '\n').replace(/\n\n$/, '\n'),
      `Error: the database ${file} has version ${NEWEST + 1}, this husk knows ${NEWEST}\nFix: use the newer husk that wrote it, or another data root (HUSK_DATA_ROOT)\n`,
      args.join(' '),
    );
  }
  t.is(tree(), before);
});
