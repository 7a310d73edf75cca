/** Folders by name: what the client is asked for, and when; and what becomes of a client that lies. */
import test from 'ava';
import { HuskError } from '../../../src/errors.ts';
import { ClientFolders } from '../../../src/service/buildkit/client-folders.ts';
import type { ClientCall } from '../../../src/service/buildkit/client.ts';
import { DATA, FINISHED, REQUEST, statPacket } from '../../../src/service/buildkit/file-sync.ts';
import type { Session } from '../../../src/service/buildkit/session.ts';
import { BuildStatus } from '../../../src/service/buildkit/status.ts';
import { bytes, Fields, message, number } from '../../../src/service/buildkit/wire.ts';
import { parseTar } from './tar-names.ts';

type Headers = Record<string, string | string[]>;

/** A client that tells one file, of the name that it is asked for or of this one, and has this in it. */
function clientOf(data: string, name?: string): { folders: ClientFolders; asked: Headers[] } {
  const asked: Headers[] = [];
  const call = (_path: string, _signal: AbortSignal, headers: Headers = {}): Partial<ClientCall> => {
    asked.push(headers);
    const path = name ?? [headers['followpaths'] ?? 'a'].flat()[0]!;
    const told = message(bytes(1, path), number(2, 0o644), number(5, data.length));
    const queue = [statPacket(told), statPacket()];
    return {
      send: async (sent) => {
        const type = new Fields(Buffer.from(sent)).unsigned(1);
        const packet = message(number(1, DATA), bytes(4, Buffer.from(data)));
        if (type === REQUEST) queue.push(...(data === '' ? [] : [packet]), message(number(1, DATA)));
        if (type === FINISHED) queue.push(message(number(1, FINISHED)));
      },
      end: () => {},
      messages: (async function* () {
        for (let next = queue.shift(); next; next = queue.shift()) yield next;
      })(),
    };
  };
  const session = { call } as unknown as Session;
  return { folders: new ClientFolders(session, new BuildStatus('r'), new AbortController().signal), asked };
}

async function tarOf(named: ReturnType<ClientFolders['named']>): Promise<Buffer> {
  if (named.kind !== 'tar') throw new Error(named.kind);
  return Buffer.concat(await named.input.toArray());
}

test('nothing is asked before somebody reads, then the ignore file first', async (t) => {
  const { folders, asked } = clientOf('b\n!c\n');
  const named = folders.named('n', 'n', ['a', 'd']);
  await new Promise(setImmediate);
  t.deepEqual(asked, []);
  const members = parseTar(await tarOf(named));
  t.deepEqual(asked, [
    { 'dir-name': 'n', followpaths: ['.dockerignore'] },
    { 'dir-name': 'n', followpaths: ['a', 'd'], 'exclude-patterns': ['b', '!c'] },
  ]);
  t.deepEqual(
    members.map(({ name }) => name),
    ['a'],
  );
});

test('a name is no more than a value of a header', async (t) => {
  const { folders, asked } = clientOf('');
  await tarOf(folders.named('n', '../x\r\nfollowpaths: /etc', undefined));
  t.deepEqual(asked.at(-1), {
    'dir-name': ['..%2Fx%0D%0Afollowpaths%3A%20%2Fetc'],
    'dir-name-encoded': '1',
    'exclude-patterns': [],
  });
});

for (const name of ['../a', '/etc/passwd', 'd/a', 'a\0b'])
  test(`a client that tells ${JSON.stringify(name)} is refused`, async (t) => {
    const { folders } = clientOf('x', name);
    await t.throwsAsync(tarOf(folders.named('n', 'n', undefined)), { instanceOf: HuskError });
  });
