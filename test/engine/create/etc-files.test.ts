/** The files of /etc that a container gets: whose names are in them, with the networks it can have. */
import { readFileSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import test from 'ava';
import type { Container } from '../../../src/engine/contract.ts';
import { etcFolder, joinedNames, writeEtcFiles } from '../../../src/engine/create/etc-files.ts';
import type { EngineContext } from '../../../src/engine/record/context.ts';
import { readRequest } from '../../../src/engine/request/request.ts';
import { createSchema } from '../../../src/state/database.ts';
import { createOptions } from '../fixture.ts';
import { temporaryFolder } from '../../fixtures/temporary.ts';

/** @param all by name; `network` and the rest are their flags */
function made(all: Record<string, Parameters<typeof createOptions>[0]>) {
  const folder = temporaryFolder('husk-etc-');
  const containers = Object.entries(all).map(([name, options]) => ({
    id: name,
    name,
    config: { hostname: `${name}-own`, options: createOptions(options) },
    state: { status: 'exited' },
  })) as unknown as Container[];
  const find = (name: string) => containers.find(({ id }) => id === name);
  // none of them is on a network of its own
  const database = new DatabaseSync(':memory:');
  createSchema(database);
  const context = {
    paths: { container: (id: string) => join(folder, id) },
    config: { dns: ['192.0.2.53'] },
    store: { resolve: find },
    database,
  } as unknown as EngineContext;
  const write = (name: string) => writeEtcFiles(context, find(name)!, readRequest(find(name)!.config.options));
  return { context, find: (name: string) => find(name)!, write };
}

const read = (path: string): string => readFileSync(path, 'utf8');

test('names of its own, and the configured resolver', (t) => {
  const { context, find, write } = made({ one: { network: 'none', domainname: 'example.org' } });
  const files = write('one');
  t.true(files.hosts.startsWith(etcFolder(context, find('one'))));
  t.is(read(files.hostname), 'one-own\n');
  t.regex(read(files.hosts), /^127\.0\.0\.1\tlocalhost$/m);
  t.regex(read(files.resolvConf), /^nameserver 192\.0\.2\.53$/m);
  for (const path of [files.hosts, files.hostname, files.resolvConf]) t.is(statSync(path).mode & 0o777, 0o644);
});

test("the host's network: the host's name, and its hosts", (t) => {
  const { write } = made({ one: { network: 'host', extraHosts: ['other:192.0.2.7'] } });
  const files = write('one');
  t.is(read(files.hostname), `${hostname()}\n`);
  t.regex(read(files.hosts), /^192\.0\.2\.7\s+other$/m);
});

test('who joins a network has the files and the names of the one whose it is, by any number of others', (t) => {
  const { context, find, write } = made({
    owner: { network: 'none', domainname: 'example.org' },
    between: { network: 'container:owner' },
    last: { network: 'container:between' },
  });
  const own = write('owner');
  t.deepEqual(write('last'), own);
  t.deepEqual(joinedNames(context, find('last')), { hostname: 'owner-own', domainname: 'example.org' });
  t.is(joinedNames(context, find('owner')), undefined);
});

test('a circle of joins is refused', (t) => {
  const { write } = made({ one: { network: 'container:two' }, two: { network: 'container:one' } });
  t.throws(() => write('one'), { message: /containers join one another in a circle/ });
});
