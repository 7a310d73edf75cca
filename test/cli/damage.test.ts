/**
 * Damage in each kind of file of a data root: the ordinary command that meets it says so in one line, `system check`
 * names it, `--repair` mends what can be mended, and nothing that was good is lost. One data root, damaged and mended
 * again and again.
 */
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import test from 'ava';
import { rootDisk } from '../../src/images/erofs/root-disk.ts';
import { paths } from '../../src/paths.ts';
import { busyboxTar, missingImageTools } from '../fixtures/images.ts';
import { HUSK, ordinaryUser, ROOT, TIMEOUT, type Result } from '../fixtures/user.ts';

const reason = existsSync(`${ROOT}/dist/husk-main.cjs`) ? missingImageTools() : 'husk is not built: run make';

if (reason !== undefined) test.skip(`damage: ${reason}`, () => {});
else {
  const user = ordinaryUser();
  const root = join(user.home, 'data/husk');
  const where = paths({ dataRoot: root });
  const husk = (...args: string[]): Result => user.husk(...args);
  const load = (): void => {
    const { status, stderr } = user.run(['sh', '-c', `${HUSK} load -q <${join(user.home, 'box.tar')}`]);
    if (status !== 0) throw new Error(stderr);
  };
  const facts = { container: '', image: '', diffId: '' };

  const flip = (file: string, at?: number): void => {
    const bytes = readFileSync(file);
    const offset = at ?? Math.floor(bytes.length / 2);
    bytes[offset] = bytes[offset]! ^ 0xff;
    writeFileSync(file, bytes);
  };
  const own = (path: string): void => chownSync(path, user.uid, user.gid);
  /** the last connection of all takes the log with it, so nothing is left that belongs to this process */
  const sql = (text: string, ...values: string[]): void => {
    const database = new DatabaseSync(where.database);
    database.prepare(text).run(...values);
    database.close();
  };
  const blob = (digest: string): string => join(where.blobs, digest.replace('sha256:', ''));
  const layer = (): string => join(where.layers, facts.diffId.replace('sha256:', ''));
  const manifest = (): string => {
    const database = new DatabaseSync(where.database);
    const { manifest_digest: digest } = database.prepare('SELECT manifest_digest FROM images').get() as {
      manifest_digest: string;
    };
    database.close();
    return digest;
  };

  test.before('an image, a container that has written, a volume with data', (t) => {
    const imported = user.run(['sh', '-c', `${HUSK} import --change 'CMD ["sh"]' - box <${busyboxTar()}`]);
    t.is(imported.status, 0, imported.stderr);
    facts.image = imported.stdout.trim();
    t.is(
      husk(
        'run',
        '--network',
        'none',
        '--name',
        'one',
        '-v',
        'data:/d',
        'box',
        'sh',
        '-c',
        'echo kept >/mine; echo kept >/d/file',
      ).status,
      0,
    );
    t.is(husk('volume', 'create', '--label', 'a=b', 'labelled').status, 0);
    facts.container = readdirSync(where.containers)[0]!;
    facts.diffId = `sha256:${readdirSync(where.layers)[0]!}`;
    t.is(husk('save', '-o', 'box.tar', 'box').status, 0);
  });
  test.after.always('away', () => user[Symbol.dispose]());

  interface Case {
    name: string;
    damage: () => void | Promise<unknown>;
    /** a command that meets it, its exit code and what it says; absent: nothing ordinary looks */
    meets?: [args: string[], status: number, stderr: RegExp];
    /** of `system check` */
    found: RegExp;
    /** left to the person after the repair, and how this test does it */
    afterwards?: () => void;
  }

  const NOT_THERE = /^Error: cannot use the database \S+\/husk.db: it is damaged.*\nFix: husk system check --repair\n/;
  /** each group is damaged, then checked and mended once */
  const GROUPS: Case[][] = [
    [
      {
        name: 'the head of the database',
        damage: () => flip(where.database, 3),
        meets: [['ps'], 1, NOT_THERE],
        found: /^database \S+husk.db: .*not a database/m,
      },
    ],
    [
      {
        name: 'a page of the database',
        damage: () => writeFileSync(where.database, readFileSync(where.database).fill(0xff, 4096 * 2, 4096 * 3)),
        found: /^database \S+husk.db: /m,
      },
    ],
    [
      {
        name: 'half of the database',
        damage: () => truncateSync(where.database, Math.floor(statSync(where.database).size / 2)),
        meets: [['images'], 1, NOT_THERE],
        found: /^database /m,
      },
    ],
    [
      {
        name: 'an empty database',
        damage: () => truncateSync(where.database, 0),
        meets: [
          ['run', 'box'],
          125,
          /^Error: the database \S+ is missing or empty, and there are containers, images or volumes beside it\nFix: husk system check --repair\n/,
        ],
        found: /^database .*missing or empty/m,
      },
    ],
    [
      {
        name: 'no database',
        damage: () => rmSync(where.database),
        meets: [['volume', 'ls'], 1, /is missing or empty/],
        found: /^database .*missing or empty/m,
      },
    ],
    [
      {
        name: 'a container whose record went with the log',
        damage: () => sql('DELETE FROM containers'),
        meets: [['start', 'one'], 1, /^Error: No such container: one\nError: failed to start containers: one\n$/],
        found: /^container one: has a folder and no record/m,
      },
      {
        name: 'a volume whose record went with the log',
        damage: () => sql('DELETE FROM volumes'),
        meets: [['volume', 'inspect', 'data'], 1, /no such volume/],
        found: /^volume data: has data and no record/m,
      },
    ],
    [
      {
        name: 'the state of a container',
        damage: () => sql('UPDATE containers SET state = ?', '{"status":"runnung"}'),
        meets: [
          ['inspect', 'one'],
          1,
          /^Error: the record of container [0-9a-f]{64} is damaged: .*\nFix: husk system check --repair\n$/,
        ],
        found: /^container one: the state in its record is damaged/m,
      },
      {
        name: 'the config of a container',
        damage: () => sql('UPDATE containers SET config = ?', '{"optionz":{}}'),
        meets: [['ps', '-a'], 1, /^Error: the record of container .* is damaged: .*\nFix: /],
        found: /^container one: the config in its record is damaged/m,
      },
      {
        name: 'the record of an image',
        damage: () => sql('UPDATE images SET config = ?', '{"os":'),
        meets: [['images'], 1, /^Error: the record of image sha256:\S+ is damaged/],
        found: /^image box:latest: its record is not the config its id names/m,
      },
      {
        name: 'the record of a volume',
        damage: () => sql("UPDATE volumes SET record = '{' WHERE name = 'labelled'"),
        meets: [['volume', 'ls'], 1, /^Error: the record of volume labelled is damaged/],
        found: /^volume labelled: its record is damaged/m,
      },
    ],
    [
      {
        name: 'the blob of a config',
        damage: () => flip(blob(facts.image)),
        found: /^blob sha256:\S+: the blob \S+ does not have the digest it is named by/m,
      },
      {
        name: 'the blob of a manifest',
        damage: () => flip(blob(manifest())),
        found: /^blob .*the manifest of box:latest/m,
      },
      {
        name: 'a byte of an unpacked tree',
        damage: () => flip(join(layer(), 'tree-v1/etc/passwd')),
        found: /^tree \S+tree-v1: "\/etc\/passwd" has other bytes/m,
      },
      {
        name: 'the root disk of VMs',
        damage: async () => {
          const tar = join(layer(), 'layer.tar');
          const [disk] = await rootDisk([{ diffId: facts.diffId, tar, size: statSync(tar).size }], where);
          own(disk!.path);
          flip(disk!.path);
        },
        found: /^disk \S+\.erofs: is not what its layers make/m,
      },
      {
        name: 'a socket nobody listens on',
        damage: async () => {
          const path = join(user.home, 'run/husk', `${facts.container.slice(0, 16)}.sock`);
          mkdirSync(join(user.home, 'run/husk'), { recursive: true });
          const server = createServer().listen(`${path}.here`);
          await new Promise((listening) => server.once('listening', listening));
          // closing takes the name away, but not another name of it
          renameSync(`${path}.here`, path);
          server.close();
        },
        found: /^socket \S+\.sock: nobody listens on it/m,
      },
      {
        name: 'a link to a tree that is not there',
        damage: () => symlinkSync('../layers/none/tree-v1', join(where.layerLinks, 'dead00000000')),
        found: /^link \S+dead00000000: leads to /m,
      },
    ],
    [
      {
        name: 'a bit of a layer',
        damage: () => flip(join(layer(), 'layer.tar')),
        found: /^layer sha256:\S+: \S+layer.tar does not have its diffID\n/m,
        afterwards: load,
      },
    ],
    [
      {
        name: 'half a layer',
        damage: () => {
          rmSync(join(layer(), 'tree-v1'), { recursive: true, force: true });
          truncateSync(join(layer(), 'layer.tar'), 100_000);
        },
        meets: [
          ['run', '--rm', '--network', 'none', 'box', 'true'],
          125,
          /^Error: the layer sha256:\S+ is damaged: \S+layer.tar has 100000 of \d+ bytes\nFix: husk system check --repair, then pull its image again\n/,
        ],
        found: /^layer .* does not have its diffID/m,
        afterwards: () => {
          load();
          husk('run', '--rm', '--network', 'none', 'box', 'true');
        },
      },
    ],
  ];

  for (const group of GROUPS) {
    test.serial(group.map(({ name }) => name).join('; '), async (t) => {
      t.timeout(TIMEOUT);
      for (const { damage, meets } of group) {
        await damage();
        if (!meets) continue;
        const [args, status, stderr] = meets;
        const result = husk(...args);
        t.regex(result.stderr, stderr);
        t.is(result.status, status);
      }
      const check = husk('system', 'check');
      for (const { found } of group) t.regex(check.stdout, found, check.stderr);
      t.is(check.status, 1, check.stderr);
      const repair = husk('system', 'check', '--repair');
      for (const { found } of group) t.regex(repair.stdout, found);
      t.notRegex(repair.stdout, /repair failed/);
      t.is(repair.status, 0, repair.stdout + repair.stderr);
      for (const { afterwards } of group) afterwards?.();
      t.is(husk('system', 'check').stdout, 'nothing is damaged\n');
    });
  }

  test.serial('after all of that nothing is lost', (t) => {
    t.is(husk('run', '--rm', '--network', 'none', '-v', 'data:/d', 'box', 'cat', '/d/file').stdout, 'kept\n');
    t.is(husk('run', '--rm', '--network', 'none', '--volumes-from', 'one', 'box', 'cat', '/d/file').stdout, 'kept\n');
    t.is(user.run(['sh', '-c', `${HUSK} export one | tar -xO mine`]).stdout, 'kept\n');
    t.is(husk('volume', 'inspect', '-f', '{{.Labels.a}}', 'labelled').stdout, 'b\n');
    t.regex(husk('images', '--format', '{{.Repository}}:{{.Tag}}').stdout, /^box:latest\n/);
  });

  test.serial('a folder that is gone is said, and not made up for', (t) => {
    const aside = join(user.home, 'aside');
    renameSync(where.container(facts.container), aside);
    t.like(husk('start', 'one'), { status: 1 });
    t.regex(
      husk('start', 'one').stderr,
      /^Error: what container [0-9a-f]{64} wrote is gone: \S+ is missing\nFix: husk rm one/,
    );
    const check = husk('system', 'check', '--repair');
    t.is(check.status, 1);
    t.regex(check.stdout, /^container one: its folder is missing/);
    renameSync(aside, where.container(facts.container));
    t.is(husk('system', 'check').status, 0);
  });

  test.serial('a database is not rebuilt under a running container, unless it may be stopped', (t) => {
    t.is(husk('run', '-d', '--network', 'none', '--name', 'up', 'box', 'sleep', '1000').status, 0);
    flip(where.database, 3);
    // its supervisor has them open, and goes on with them
    for (const suffix of ['-wal', '-shm']) rmSync(where.database + suffix, { force: true });
    const refused = husk('system', 'check', '--repair');
    t.is(refused.status, 1);
    t.regex(
      refused.stderr,
      /^Error: cannot rebuild the database while containers run: [0-9a-f]{12}\nFix: husk system check --repair --stop ends them first\n$/,
    );
    const { status, stdout } = husk('system', 'check', '--repair', '--stop');
    t.is(status, 0, stdout);
    t.is(husk('ps', '-q').stdout, '');
    t.regex(husk('ps', '-a', '--format', '{{.Names}} {{.State}}').stdout, /^up exited\n/);
  });
}
