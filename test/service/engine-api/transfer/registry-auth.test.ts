/** X-Registry-Auth: what it may say, and that no error repeats a part of it. */
import test from 'ava';
import type { HuskError } from '../../../../src/errors.ts';
import { lenientRegistryAuth, registryAuth } from '../../../../src/service/engine-api/transfer/registry-auth.ts';

const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const read = (header: string | undefined): unknown =>
  registryAuth(header === undefined ? {} : { 'x-registry-auth': header });

const PAIR = { kind: 'password', username: 'me', password: 'secret' };

const READ: [what: string, header: string | undefined, expected: object | null][] = [
  ['none', undefined, null],
  ['an empty one', '', null],
  ['e30=, an empty object', 'e30=', null],
  ['null', encoded(null), null],
  ['only an address', encoded({ serveraddress: 'x' }), null],
  ['nulls', encoded({ username: null, password: null, auth: null }), null],
  ['name and password', encoded({ username: 'me', password: 'secret', serveraddress: 'x', email: 'm@x' }), PAIR],
  [
    'base64 that is not for URLs',
    Buffer.from('{"username":"me","password":"\u00ff\u00ff?"}').toString('base64'),
    { ...PAIR, password: '\u00ff\u00ff?' },
  ],
  ['names in another case', encoded({ Username: 'me', Password: 'secret' }), PAIR],
  ['a pair as in config.json', encoded({ auth: Buffer.from('me:secret').toString('base64') }), PAIR],
  [
    'a password with a colon',
    encoded({ auth: Buffer.from('me:a:b').toString('base64') }),
    { ...PAIR, password: 'a:b' },
  ],
  [
    'an identity token, before a password',
    encoded({ username: 'me', password: 'secret', identitytoken: 't' }),
    { kind: 'identity', token: 't' },
  ],
  [
    'a registry token, before all',
    encoded({ identitytoken: 't', registrytoken: 'r' }),
    { kind: 'registry-token', token: 'r' },
  ],
];
for (const [what, header, expected] of READ)
  test(`read: ${what}`, (t) => {
    t.deepEqual(read(header), expected);
  });

const REFUSED: [what: string, header: string][] = [
  ['no JSON', Buffer.from('secret').toString('base64')],
  ['JSON that is cut off', Buffer.from('{"password":"secret"').toString('base64')],
  ['a list', encoded(['secret'])],
  ['a text', encoded('secret')],
  ['a number for a password', encoded({ username: 'me', password: 7_777_777 })],
  ['an object for a token', encoded({ identitytoken: { secret: 1 } })],
  ['a NUL', encoded({ username: 'me\0', password: 'secret' })],
  ['a pair without a name', encoded({ auth: Buffer.from(':secret').toString('base64') })],
  ['a pair without a colon', encoded({ auth: Buffer.from('secret').toString('base64') })],
  ['bytes that are no UTF-8', Buffer.from([0x7b, 0xff, 0x7d]).toString('base64')],
  ['64 KiB', encoded({ username: 'me', password: 'secret'.repeat(12_000) })],
];
for (const [what, header] of REFUSED)
  test(`refused: ${what}`, (t) => {
    const error = t.throws<HuskError>(() => read(header));
    t.is(error.message, 'invalid X-Registry-Auth header');
    t.notRegex(`${error.message} ${error.fix} ${error.stack} ${String(error.cause)}`, /secret|7777777/);
    t.is(lenientRegistryAuth({ 'x-registry-auth': header }), null);
  });
