/**
 * What programs of the guest that watch a share are told of: the host's changes, each by its kind; nothing that the
 * guest did itself; and what the guest's agent asks for to tell it, of which nothing may happen on the host.
 */
import {
  appendFileSync,
  chmodSync,
  closeSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { TELLING_GID, type FileChange } from '../../../src/agent-protocol.ts';
import { sameOwners } from '../../../src/vmm/devices/fs/share/attributes.ts';
import { Fs } from '../../../src/vmm/devices/fs/device.ts';
import { ATTR_ATTR, ENTRY_ATTR, OP, ProtocolError } from '../../../src/vmm/devices/fs/share/fuse.ts';
import { HAPPENED, News } from '../../../src/vmm/devices/fs/share/news.ts';
import { Server } from '../../../src/vmm/devices/fs/server.ts';
import { GuestMemory } from '../../../src/vmm/memory/guest-memory.ts';
import { DATA, Driver } from '../driver.ts';

const ROOT = 1;
const REQUESTS = 1;
const [EPERM, ENOENT, ENFILE] = [1, 2, 23];
const [S_IFDIR, S_IFREG, S_IFLNK] = [0o040000, 0o100000, 0o120000];
const MODE_AT = 60;
const LINKS_AT = 64;
/** most changes in one batch, and names that are told one by one; see news.ts */
const [BATCH, MOST_NAMES] = [128, 4096];

const text = (...parts: string[]) => Buffer.from(parts.map((part) => `${part}\0`).join(''), 'latin1');
const words = (...values: number[]) => Buffer.from(Uint32Array.from(values).buffer);
const bytes = (name: string) => Buffer.from(name, 'latin1');

/** A guest that has looked at all of a folder: `file`, `dir/inner`, `dir/empty/`. */
class Guest implements Disposable {
  readonly folder = mkdtempSync('/var/tmp/husk-changes-');
  readonly memory = GuestMemory.allocate(2 << 20);
  readonly server: Server;
  readonly names = new Map<number, string>([[ROOT, '/']]);
  /** carries out what the agent does with a batch */
  agent: (changes: FileChange[]) => void = () => {};
  batches: FileChange[][] = [];
  isWatching = true;
  #told = Promise.withResolvers<void>();
  /** the timers of what is tested keep nobody alive */
  readonly #alive = setInterval(() => {}, 60_000);

  constructor(t: ExecutionContext, options: { descriptors?: number; watches?: number } = {}) {
    mkdirSync(join(this.folder, 'dir/empty'), { recursive: true });
    for (const name of ['file', 'dir/inner']) writeFileSync(this.at(name), 'text');
    this.server = new Server({
      path: this.folder,
      readOnly: false,
      ownership: sameOwners,
      ...options,
      onNews: async (take) => {
        const changes = take();
        this.agent(changes);
        this.batches.push(changes);
        this.#told.resolve();
        this.#told = Promise.withResolvers();
        return this.isWatching;
      },
    });
    this.server.countChanges(this.memory, { table: 0x100000, lastChange: 0 });
    this.lookup('file');
    const dir = this.lookup('dir');
    this.lookup('inner', dir);
    this.lookup('empty', dir);
    t.teardown(() => this[Symbol.dispose]());
  }

  at(name: string): string {
    return join(this.folder, name);
  }

  ask(opcode: number, node: number, body: Uint8Array, gid = process.getgid!()): Buffer {
    const request = { length: 40 + body.length, opcode, unique: new Uint8Array(8), node, uid: process.getuid!(), gid };
    return Buffer.from(this.server.handle({ ...request, body }, 0x10000) as Uint8Array);
  }

  /** as the agent of the guest */
  telling(opcode: number, node: number, body: Uint8Array): Buffer {
    return this.ask(opcode, node, body, TELLING_GID);
  }

  lookup(name: string, folder = ROOT): number {
    const node = Number(this.ask(OP.LOOKUP, folder, text(name)).readBigUInt64LE(0));
    this.names.set(node, name);
    return node;
  }

  /** @returns what is told until a change is, which is made now */
  async told(): Promise<string[]> {
    mkdirSync(this.at('last'));
    return this.toldBefore('created folder /: last');
  }

  /** @returns what is told before this */
  async toldBefore(last: string): Promise<string[]> {
    this.server.settle();
    for (;;) {
      const told = this.batches.flat().map((change) => this.said(change));
      if (told.includes(last)) return told.slice(0, told.indexOf(last));
      await this.#told.promise;
    }
  }

  said({ node, path, name, what, kind }: FileChange): string {
    const of = { [S_IFDIR]: ' folder', [S_IFLNK]: ' link' }[kind ?? 0] ?? '';
    const where = path === undefined ? `former ${this.names.get(node)}` : path === '.' ? '/' : path;
    return `${what}${of} ${where}${name === undefined ? '' : `: ${name}`}`;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#alive);
    this.server[Symbol.dispose]();
    this.memory[Symbol.dispose]();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** what the host does, and what the guest is told */
const CHANGES: [what: string, change: (guest: Guest) => void, ...told: string[]][] = [
  ['nothing', () => {}],
  ['a write', (g) => appendFileSync(g.at('file'), 'x'), 'modified file'],
  ['many writes', (g) => Array.from({ length: 99 }, () => appendFileSync(g.at('file'), 'x')), 'modified file'],
  ['a truncation', (g) => truncateSync(g.at('file'), 1), 'modified file'],
  ['a new mode', (g) => chmodSync(g.at('file'), 0o600), 'attributes file'],
  [
    'a file that the guest has not looked at',
    (g) => closeSync(openSync(g.at('new'), 'w')),
    'created /: new',
    'modified /: new',
  ],
  ['a folder', (g) => mkdirSync(g.at('new')), 'created folder /: new'],
  ['a link', (g) => symlinkSync('file', g.at('new')), 'created link /: new'],
  ['a second name', (g) => linkSync(g.at('file'), g.at('new')), 'attributes file', 'created /: new'],
  ['a removal', (g) => unlinkSync(g.at('file')), 'attributes former file', 'gone /: file'],
  ['a removed folder', (g) => rmdirSync(g.at('dir/empty')), 'gone folder dir: empty', 'attributes former empty'],
  [
    'a move',
    (g) => renameSync(g.at('file'), g.at('dir/new')),
    'gone /: file',
    'created dir: new',
    'attributes dir/new',
  ],
  [
    'a file put over another',
    (g) => renameSync(g.at('dir/inner'), g.at('file')),
    'gone dir: inner',
    'created /: file',
    'attributes former file',
    'attributes file',
  ],
  ['a file that came and went', (g) => [writeFileSync(g.at('new'), ''), unlinkSync(g.at('new'))]],
  [
    'a file that went and came',
    (g) => [unlinkSync(g.at('file')), mkdirSync(g.at('file'))],
    'attributes former file',
    'created folder /: file',
  ],
  [
    'a name of odd bytes',
    (g) => mkdirSync(Buffer.concat([bytes(`${g.folder}/`), bytes('\xff\n "\\')])),
    'created folder /: \xff\n "\\',
  ],
];
for (const [what, change, ...told] of CHANGES)
  test.serial(`the host's change is told: ${what}`, async (t) => {
    const guest = new Guest(t);
    change(guest);
    t.deepEqual((await guest.told()).sort(), told.sort());
  });

test.serial(
  "the host's write to a file that the guest has not looked at is told when the file is closed",
  async (t) => {
    const guest = new Guest(t);
    const fd = openSync(guest.at('dir/unseen'), 'w');
    guest.server.settle();
    writeSync(fd, 'text');
    closeSync(fd);
    t.deepEqual(await guest.told(), ['created dir: unseen', 'modified dir: unseen']);
  },
);

const opened = (guest: Guest, name: string, flags: number) =>
  guest.ask(OP.OPEN, guest.lookup(name), words(flags, 0)).readUInt32LE(0);
const setattr = (valid: number, { size = 0, mode = 0 } = {}) => {
  const body = Buffer.alloc(88);
  body.writeUInt32LE(valid, 0);
  body.writeUInt32LE(size, 16);
  body.writeUInt32LE(mode, 68);
  return body;
};
const [O_WRONLY, O_TRUNC] = [1, 0o1000];
const rename = (folder: number, from: string, to: string) => Buffer.concat([words(folder, 0), text(from, to)]);
const exchange = (from: string, to: string) => Buffer.concat([words(ROOT, 0, 2, 0), text(from, to)]);
/** what the guest itself does */
const OWN: [what: string, act: (guest: Guest) => unknown][] = [
  [
    'CREATE, and a close after',
    (g) => {
      const reply = g.ask(OP.CREATE, ROOT, Buffer.concat([words(0o102, 0o644, 0, 0), text('new')]));
      const node = Number(reply.readBigUInt64LE(0));
      g.ask(OP.RELEASE, node, words(reply.readUInt32LE(128), 0, O_WRONLY, 0, 0, 0));
    },
  ],
  ['MKDIR', (g) => g.ask(OP.MKDIR, ROOT, Buffer.concat([words(0o755, 0), text('new')]))],
  ['MKNOD', (g) => g.ask(OP.MKNOD, ROOT, Buffer.concat([words(0o100644, 0, 0, 0), text('new')]))],
  ['SYMLINK', (g) => g.ask(OP.SYMLINK, ROOT, text('new', 'file'))],
  ['LINK', (g) => g.ask(OP.LINK, ROOT, Buffer.concat([words(g.lookup('file'), 0), text('new')]))],
  ['UNLINK', (g) => g.ask(OP.UNLINK, ROOT, text('file'))],
  ['RMDIR', (g) => g.ask(OP.RMDIR, g.lookup('dir'), text('empty'))],
  ['RENAME', (g) => g.ask(OP.RENAME, ROOT, rename(g.lookup('dir'), 'file', 'new'))],
  ['RENAME over another', (g) => g.ask(OP.RENAME, g.lookup('dir'), rename(ROOT, 'inner', 'file'))],
  ['an exchange', (g) => g.ask(OP.RENAME2, ROOT, exchange('file', 'dir'))],
  ['a mode', (g) => g.ask(OP.SETATTR, g.lookup('file'), setattr(1, { mode: 0o600 }))],
  ['a size', (g) => g.ask(OP.SETATTR, g.lookup('file'), setattr(8, { size: 1 }))],
  [
    'OPEN that empties, and a close',
    (g) => {
      const handle = opened(g, 'file', O_WRONLY | O_TRUNC);
      g.ask(OP.RELEASE, g.lookup('file'), words(handle, 0, O_WRONLY, 0, 0, 0));
    },
  ],
  [
    'FALLOCATE',
    (g) => g.ask(OP.FALLOCATE, g.lookup('file'), words(opened(g, 'file', O_WRONLY), 0, 0, 0, 4096, 0, 0, 0)),
  ],
  [
    'SETXATTR',
    (g) => g.ask(OP.SETXATTR, g.lookup('file'), Buffer.concat([words(1, 0), text('user.x'), Buffer.from('1')])),
  ],
  [
    'a write, by a shared mapping too',
    (g) => {
      const [node, gid] = [g.lookup('file'), 0];
      g.server.writing({ node, gid }, () => appendFileSync(g.at('file'), 'x'));
    },
  ],
];
for (const [what, act] of OWN)
  test.serial(`the guest's own change is not told to it: ${what}`, async (t) => {
    const guest = new Guest(t);
    act(guest);
    t.deepEqual(await guest.told(), []);
  });

test.serial("the guest's own close of a file that is not watched is not told to it", async (t) => {
  const guest = new Guest(t, { watches: 2 }); // the root and one more
  const node = guest.lookup('inner', guest.lookup('dir'));
  const handle = guest.ask(OP.OPEN, node, words(O_WRONLY, 0)).readUInt32LE(0);
  guest.ask(OP.RELEASE, node, words(handle, 0, O_WRONLY, 0, 0, 0));
  t.deepEqual(await guest.told(), []);
});

test.serial("the host's change just before the guest's own of the same folder is told", async (t) => {
  const guest = new Guest(t);
  chmodSync(guest.at('dir/inner'), 0o600);
  unlinkSync(guest.at('file'));
  guest.ask(OP.MKDIR, ROOT, Buffer.concat([words(0o755, 0), text('new')]));
  t.deepEqual((await guest.told()).sort(), ['attributes dir/inner', 'attributes former file', 'gone /: file']);
});

/** @returns all that is in the folder, with what must not change */
const everything = (folder: string) =>
  (readdirSync(folder, { recursive: true }) as string[]).sort().map((name) => {
    const { mode, ino, size, mtimeNs, nlink, uid, gid } = lstatSync(join(folder, name), { bigint: true });
    return [name, mode, ino, size, mtimeNs, nlink, uid, gid].join(' ');
  });
const errnoOf = (act: () => unknown): number | undefined => {
  try {
    act();
    return undefined;
  } catch (error) {
    return (error as ProtocolError).errno;
  }
};
const fileMode = (reply: Buffer, at: number) => reply.readUInt32LE(at + MODE_AT) & 0o170000;

test.serial(
  'the agent makes a name that is there: it finds none, and gets what is there; nothing is made',
  async (t) => {
    const guest = new Guest(t);
    const kinds: [name: string, opcode: number, body: Buffer, kind: number][] = [
      ['new', OP.MKNOD, Buffer.concat([words(0o100600, 0, 0, 0), text('new')]), S_IFREG],
      ['sub', OP.MKDIR, Buffer.concat([words(0o700, 0), text('sub')]), S_IFDIR],
      ['link', OP.SYMLINK, text('link', '.'), S_IFLNK],
    ];
    writeFileSync(guest.at('new'), 'contents');
    mkdirSync(guest.at('sub'));
    symlinkSync('file', guest.at('link'));
    t.plan(13);
    guest.agent = () => {
      guest.agent = () => {};
      const before = everything(guest.folder);
      for (const [name, opcode, body, kind] of kinds) {
        t.is(
          errnoOf(() => guest.telling(OP.LOOKUP, ROOT, text(name))),
          ENOENT,
        );
        t.is(fileMode(guest.ask(OP.LOOKUP, ROOT, text(name)), ENTRY_ATTR), kind); // nobody else is deceived
        t.is(fileMode(guest.telling(opcode, ROOT, body), ENTRY_ATTR), kind);
        t.is(fileMode(guest.telling(OP.LOOKUP, ROOT, text(name)), ENTRY_ATTR), kind); // from here on it finds it
      }
      t.deepEqual(everything(guest.folder), before);
    };
    await guest.told();
  },
);

test.serial('a folder that the guest knows is not hidden from the agent: something may be mounted in it', async (t) => {
  const guest = new Guest(t);
  renameSync(guest.at('dir'), guest.at('moved'));
  const found: (number | undefined)[] = [];
  guest.agent = () => {
    guest.agent = () => {};
    found.push(Number(guest.telling(OP.LOOKUP, ROOT, text('moved')).readBigUInt64LE(0)));
  };
  await guest.told();
  t.deepEqual(
    found.map((node) => guest.names.get(node!)),
    ['dir'],
  );
});

test.serial(
  'the agent removes a name that is gone: it finds something, even if the host has made it again',
  async (t) => {
    const guest = new Guest(t);
    unlinkSync(guest.at('file'));
    rmSync(guest.at('dir'), { recursive: true });
    t.plan(6);
    guest.agent = () => {
      guest.agent = () => {};
      writeFileSync(guest.at('file'), 'again');
      const before = everything(guest.folder);
      t.is(fileMode(guest.telling(OP.LOOKUP, ROOT, text('file')), ENTRY_ATTR), S_IFREG);
      t.is(fileMode(guest.telling(OP.LOOKUP, ROOT, text('dir')), ENTRY_ATTR), S_IFDIR);
      t.is(guest.telling(OP.UNLINK, ROOT, text('file')).length, 0);
      t.is(guest.telling(OP.RMDIR, ROOT, text('dir')).length, 0);
      t.deepEqual(everything(guest.folder), before);
    };
    await guest.told();
    t.is(readFileSync(guest.at('file'), 'utf8'), 'again');
  },
);

test.serial('the agent sets times and sets none; of what is gone it gets attributes without a name', (t) => {
  const guest = new Guest(t);
  const [file, all] = [guest.lookup('file'), setattr(1 | 2 | 4 | 8 | 16 | 32, { mode: 0o777 })];
  const before = everything(guest.folder);
  t.is(fileMode(guest.telling(OP.SETATTR, file, all), ATTR_ATTR), S_IFREG);
  t.deepEqual(everything(guest.folder), before);
  unlinkSync(guest.at('file'));
  guest.server.settle(); // it is let go
  t.not(
    errnoOf(() => guest.ask(OP.GETATTR, file, Buffer.alloc(16))),
    undefined,
  );
  const gone = guest.telling(OP.SETATTR, file, all);
  t.deepEqual([fileMode(gone, ATTR_ATTR), gone.readUInt32LE(ATTR_ATTR + LINKS_AT)], [S_IFREG, 0]);
});

/** what any process of the guest may ask for in the agent's group */
const REFUSED: [what: string, opcode: number, body: (guest: Guest) => Buffer][] = [
  ['UNLINK', OP.UNLINK, () => text('file')],
  ['RMDIR', OP.RMDIR, () => text('dir')],
  ['MKNOD', OP.MKNOD, () => Buffer.concat([words(0o100644, 0, 0, 0), text('new')])],
  ['MKNOD of what is there', OP.MKNOD, () => Buffer.concat([words(0o100644, 0, 0, 0), text('file')])],
  ['MKDIR', OP.MKDIR, () => Buffer.concat([words(0o755, 0), text('new')])],
  ['SYMLINK', OP.SYMLINK, () => text('new', 'file')],
  ['LINK', OP.LINK, (g) => Buffer.concat([words(g.lookup('file'), 0), text('new')])],
  ['RENAME', OP.RENAME, () => rename(ROOT, 'file', 'new')],
  ['RENAME2', OP.RENAME2, () => exchange('file', 'dir')],
  ['CREATE', OP.CREATE, () => Buffer.concat([words(0o102, 0o644, 0, 0), text('new')])],
  ['TMPFILE', OP.TMPFILE, () => Buffer.concat([words(0o102, 0o644, 0, 0), text('new')])],
  ['OPEN', OP.OPEN, () => words(O_WRONLY | O_TRUNC, 0)],
  ['SETXATTR', OP.SETXATTR, () => Buffer.concat([words(1, 0), text('user.x'), Buffer.from('1')])],
  ['REMOVEXATTR', OP.REMOVEXATTR, () => text('user.x')],
  ['FALLOCATE', OP.FALLOCATE, (g) => words(opened(g, 'file', O_WRONLY), 0, 0, 0, 4096, 0, 0, 0)],
  ['INIT', OP.INIT, () => words(7, 40, 65_536, 0)],
];
for (const [what, opcode, body] of REFUSED)
  test.serial(`attack: a process takes the agent's group and asks for ${what}, of which it was told nothing`, (t) => {
    const guest = new Guest(t);
    const asked = body(guest);
    const before = everything(guest.folder);
    t.is(
      errnoOf(() => guest.telling(opcode, ROOT, asked)),
      EPERM,
    );
    t.deepEqual(everything(guest.folder), before);
  });

test.serial("attack: a process takes the agent's group and writes", (t) => {
  const folder = mkdtempSync('/var/tmp/husk-changes-');
  t.teardown(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, 'file'), 'text');
  const fs = new Fs({ tag: 'test', path: folder, readOnly: false, ownership: sameOwners });
  const driver = new Driver(fs).start();
  const ask = (opcode: number, node: number, gid: number, body: Uint8Array) => {
    const request = Buffer.concat([words(40 + body.length, opcode, 7, 0, node, 0, process.getuid!(), gid, 1, 0), body]);
    driver.memory.write(DATA, request);
    driver.request(REQUESTS, [
      { address: DATA, length: request.length },
      { address: DATA + 0x10000, length: 0x1000, write: true },
    ]);
    return Buffer.from(driver.memory.copy(DATA + 0x10000, 0x1000));
  };
  const gid = process.getgid!();
  ask(OP.INIT, 0, gid, words(7, 40, 65_536, 0));
  const node = ask(OP.LOOKUP, ROOT, gid, text('file')).readUInt32LE(16);
  const handle = ask(OP.OPEN, node, gid, words(O_WRONLY, 0)).readUInt32LE(16);
  const write = Buffer.concat([words(handle, 0, 0, 0, 4, 0, 0, 0, 0, 0), Buffer.from('evil')]);
  t.is(ask(OP.WRITE, node, TELLING_GID, write).readInt32LE(4), -EPERM);
  t.is(readFileSync(join(folder, 'file'), 'utf8'), 'text');
  t.is(ask(OP.WRITE, node, gid, write).readInt32LE(4), 0);
  t.is(readFileSync(join(folder, 'file'), 'utf8'), 'evil');
  fs[Symbol.dispose]();
});

test.serial('attack: a guest that looks up what is gone without end is refused more nodes', async (t) => {
  const guest = new Guest(t, { descriptors: 256 });
  unlinkSync(guest.at('file'));
  let errno: number | undefined;
  let before = 0;
  guest.agent = () => {
    guest.agent = () => {};
    for (; before < 10_000 && errno === undefined; before++)
      errno = errnoOf(() => guest.telling(OP.LOOKUP, ROOT, text('file')));
  };
  await guest.told();
  t.is(errno, ENFILE);
  t.true(before < 256);
});

test.serial('a storm of changes: so many names one by one, then their folder, in small batches', async (t) => {
  const guest = new Guest(t);
  const many = MOST_NAMES + 1000; // fewer than the kernel queues
  for (let i = 0; i < many; i++) mkdirSync(guest.at(`dir/${i}`));
  const told = await guest.toldBefore('attributes dir');
  t.is(told.filter((each) => each.startsWith('created folder dir: ')).length, MOST_NAMES);
  t.true(guest.batches.every((batch) => batch.length <= BATCH + 1));
});

test.serial('more changes than the kernel queues: each folder is told as a whole', async (t) => {
  const guest = new Guest(t);
  const limit = Number(readFileSync('/proc/sys/fs/inotify/max_queued_events', 'latin1'));
  for (let i = 0; i <= limit / 2 + 1; i++) {
    chmodSync(guest.at('file'), 0o600); // one after another, so that no two are one event
    truncateSync(guest.at('file'), i % 2);
  }
  const told = await guest.toldBefore('attributes dir/empty');
  t.true(told.includes('attributes /') && told.includes('attributes dir'), told.join());
});

test.serial('a guest in which nobody watches is asked once a second at most', async (t) => {
  const times: number[] = [];
  const asked = Promise.withResolvers<void>();
  const take = (take: () => FileChange[]) => {
    take();
    times.push(performance.now());
    if (times.length === 2) asked.resolve();
    return Promise.resolve(false);
  };
  using news = new News(
    take,
    (all) => all.map(({ node }) => ({ node, what: 'modified' })),
    () => news.hear(2, '', HAPPENED.MODIFIED),
  );
  news.hear(1, '', HAPPENED.MODIFIED);
  const alive = setInterval(() => {}, 1000);
  await asked.promise;
  clearInterval(alive);
  t.true(times[1]! - times[0]! > 900, times.join());
});

test.serial('nothing is told of a share that is gone, nor gathered', (t) => {
  const news = new News(
    () => Promise.reject(new Error('it is gone')),
    () => [],
    () => {},
  );
  news.hear(1, 'name', HAPPENED.CREATED);
  t.is(news.size, 1);
  news[Symbol.dispose]();
  t.is(news.size, 0);
  news.hear(1, 'name', HAPPENED.CREATED);
  t.is(news.size, 0);
});
