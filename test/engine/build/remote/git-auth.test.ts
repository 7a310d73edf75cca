/** Who is told what of a caller's secrets: the servers that they are for, and no other. */
import test from 'ava';
import { gitAuth } from '../../../../src/engine/build/remote/git-auth.ts';

const basic = (token: string): string => `basic ${Buffer.from(`x-access-token:${token}`).toString('base64')}`;
const BOTH = { GIT_AUTH_TOKEN: 'mine', 'GIT_AUTH_TOKEN.h:8443': 'theirs\n' };

const CASES: [
  what: string,
  repository: string,
  secrets: Record<string, string>,
  isCallers: boolean,
  expected: { origin: string; header: string } | undefined,
][] = [
  ['a token of the caller', 'https://h/a.git', BOTH, true, { origin: 'https://h/', header: basic('mine') }],
  ['a token of the host', 'https://h:8443/a.git', BOTH, true, { origin: 'https://h:8443/', header: basic('theirs') }],
  [
    'in a Dockerfile: the token of the host',
    'https://h:8443/a',
    BOTH,
    false,
    { origin: 'https://h:8443/', header: basic('theirs') },
  ],
  ['in a Dockerfile: no other', 'https://h/a.git', BOTH, false, undefined],
  ['in a Dockerfile: not that of another port', 'https://h:1/a.git', BOTH, false, undefined],
  [
    'a header',
    'https://h/a',
    { ...BOTH, GIT_AUTH_HEADER: 'Bearer x' },
    true,
    { origin: 'https://h/', header: 'Bearer x' },
  ],
  ['by http', 'http://h/a.git', BOTH, true, undefined],
  ['by ssh', 'git@h:a.git', BOTH, true, undefined],
  ['other secrets', 'https://h/a.git', { npm: 'x' }, true, undefined],
  ['a name in the URL is no host', 'https://h:8443@evil/a.git', BOTH, false, undefined],
];
for (const [what, repository, secrets, isCallers, expected] of CASES)
  test(what, (t) => {
    const given = Object.entries(secrets).map(([id, value]) => ({ id, value: Buffer.from(value) }));
    t.deepEqual(gitAuth(repository, given, isCallers), expected);
  });

for (const value of ['', 'a\r\nX-Evil: 1', 'ü', 'a\0b'])
  test(`no header has ${JSON.stringify(value)}`, (t) => {
    const given = [{ id: 'GIT_AUTH_TOKEN', value: Buffer.from(value) }];
    t.throws(() => gitAuth('https://h/a.git', given, true), { message: /^secret GIT_AUTH_TOKEN: / });
  });
