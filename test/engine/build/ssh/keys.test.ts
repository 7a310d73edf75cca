/** Private keys of `--ssh ID=FILE` and the agent that has them. OpenSSH's own programs judge. */
import { execFile, execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { once } from 'node:events';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import { serveKeys } from '../../../../src/engine/build/ssh/key-agent.ts';
import { field, readSshKey } from '../../../../src/engine/build/ssh/keys.ts';
import { serveAgent } from '../../../../src/rootless/build/ssh-agent.ts';
import { temporaryFolder } from '../../../fixtures/temporary.ts';

const run = promisify(execFile);
const folder = temporaryFolder('husk-keys-');
let count = 0;

/** A key of ssh-keygen's, and the line of its public half. */
function made(words: string[]): { file: string; line: string } {
  const file = join(folder, `key-${count++}`);
  execFileSync('ssh-keygen', ['-q', '-N', '', '-C', '', '-f', file, ...words]);
  return { file, line: readFileSync(`${file}.pub`, 'utf8').trim() };
}

const KINDS: [what: string, words: string[]][] = [
  ['Ed25519', ['-t', 'ed25519']],
  ['RSA', ['-t', 'rsa', '-b', '2048']],
  ['RSA in PKCS #1', ['-t', 'rsa', '-b', '2048', '-m', 'PEM']],
  ['RSA in PKCS #8', ['-t', 'rsa', '-b', '2048', '-m', 'PKCS8']],
  ['ECDSA of 256 bits', ['-t', 'ecdsa', '-b', '256']],
  ['ECDSA of 384 bits', ['-t', 'ecdsa', '-b', '384']],
  ['ECDSA of 521 bits', ['-t', 'ecdsa', '-b', '521']],
  ['ECDSA in SEC 1', ['-t', 'ecdsa', '-b', '256', '-m', 'PEM']],
];

test('what the agent signs is what ssh-keygen takes for a signature of that key', async (t) => {
  const data = join(folder, 'data');
  writeFileSync(data, 'what is signed');
  const keys = KINDS.map(([what, words]) => ({ what, ...made(words) }));
  const own = keys.map(({ file }) => readSshKey(readFileSync(file), file));
  await using agent = await serveKeys(own, join(folder, 'agent'));
  // As a step has it.
  await using served = await serveAgent(agent.path, folder, 's');
  const env = { PATH: process.env['PATH'], SSH_AUTH_SOCK: served.path };
  const { stdout } = await run('ssh-add', ['-L'], { env });
  t.deepEqual(
    stdout
      .trim()
      .split('\n')
      .map((line) => line.split(' ').slice(0, 2).join(' ')),
    keys.map(({ line }) => line),
  );
  t.deepEqual(
    stdout
      .trim()
      .split('\n')
      .map((line) => line.split(' ')[2]),
    keys.map(({ file }) => basename(file)),
  );
  for (const { what, file } of keys) {
    // It has the public half alone.
    const alone = `${file}-alone.pub`;
    writeFileSync(alone, readFileSync(`${file}.pub`));
    // A signature of an earlier key is asked about and not replaced.
    await run('sh', ['-c', `ssh-keygen -q -Y sign -f ${alone} -n husk < ${data} > ${file}.sig`], { env });
    await t.notThrowsAsync(
      run('sh', ['-c', `ssh-keygen -q -Y check-novalidate -n husk -s ${file}.sig < ${data}`]),
      what,
    );
  }
});

const message = (type: number, body: Buffer = Buffer.alloc(0)): Buffer =>
  field(Buffer.concat([Buffer.from([type]), body]));
const FAILURE = message(5).toString('hex');

test('all else is refused: other keys, SHA-1, lengths that lead out, additions', async (t) => {
  const { file } = made(['-t', 'rsa', '-b', '2048']);
  const key = readSshKey(readFileSync(file), file);
  await using agent = await serveKeys([key], join(folder, 'agent-2'));
  const client = createConnection(agent.path);
  const ask = async (bytes: Buffer): Promise<string> => {
    client.write(bytes);
    return ((await once(client, 'data')) as [Buffer])[0].toString('hex');
  };
  const flags = (value: number): Buffer => Buffer.from([0, 0, 0, value]);
  const sign = (...parts: Buffer[]) => ask(message(13, Buffer.concat(parts)));
  t.is((await sign(field(key.blob), field('x'), flags(2))).slice(8, 10), '0e', 'SSH_AGENT_SIGN_RESPONSE');
  for (const [what, parts] of [
    ['SHA-1', [field(key.blob), field('x'), flags(0)]],
    ['another key', [field('other'), field('x'), flags(2)]],
    ['nothing', []],
    ['a blob without end', [Buffer.from([0xff, 0xff, 0xff, 0xff]), field('x'), flags(2)]],
    ['data without end', [field(key.blob), Buffer.from([0x7f, 0xff, 0xff, 0xff]), flags(2)]],
    ['no flags', [field(key.blob), field('x')]],
    ['more behind', [field(key.blob), field('x'), flags(2), flags(2)]],
  ] as const)
    t.is(await sign(...parts), FAILURE, what);
  for (const type of [0, 1, 17, 18, 19, 22, 25, 27, 255]) t.is(await ask(message(type)), FAILURE, String(type));
  client.destroy();
});

const { file } = made(['-t', 'ed25519']);
const text = readFileSync(file, 'latin1');
const [head, ...lines] = text.trim().split('\n');
const inner = Buffer.from(lines.slice(0, -1).join(''), 'base64');
const changed = (change: (bytes: Buffer) => Buffer | void): Buffer => {
  const bytes = Buffer.from(inner);
  return Buffer.from([head, (change(bytes) ?? bytes).toString('base64'), lines.at(-1)].join('\n'));
};
const locked = join(folder, 'locked');
execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', 'secret', '-f', locked]);
const lockedPem = join(folder, 'locked-pem');
execFileSync('ssh-keygen', ['-q', '-t', 'rsa', '-b', '2048', '-m', 'PEM', '-N', 'secret', '-f', lockedPem]);
const DSA = execFileSync('openssl', ['genpkey', '-algorithm', 'ed448']);

const REFUSED: [what: string, bytes: Buffer, said: RegExp][] = [
  ['a passphrase', readFileSync(locked), /: the key has a passphrase$/],
  ['a passphrase, PEM', readFileSync(lockedPem), /: the key has a passphrase$/],
  ['another kind', DSA, /keys of the kind "ed448" are not there/],
  ['a text', Buffer.from('hello'), /neither the socket of an agent nor a private key/],
  ['a public key', readFileSync(`${file}.pub`), /nor a private key/],
  ['an end too early', changed((bytes) => bytes.subarray(0, 100)), /nor a private key/],
  ['a length that leads out', changed((bytes) => void bytes.writeUInt32BE(0xffff_ffff, 15)), /nor a private key/],
  ['another mark', changed((bytes) => void bytes.write('openssh-key-v2')), /nor a private key/],
  ['several keys', changed((bytes) => void bytes.writeUInt32BE(2, 35)), /nor a private key/],
];
for (const [what, bytes, said] of REFUSED)
  test(`refused: ${what}`, (t) => {
    const error = t.throws(() => readSshKey(bytes, 'k'), { message: said, name: 'HuskError' });
    t.false(error.message.includes(lines[1]!), 'no line of a key is in a message');
  });

test('no cut and no changed byte of a key does anything but refuse it, or read a key', (t) => {
  for (let at = 0; at < inner.length; at += 3) {
    for (const bytes of [changed((whole) => whole.subarray(0, at)), changed((whole) => void (whole[at]! ^= 0xff))]) {
      try {
        t.truthy(readSshKey(bytes, 'k').blob);
      } catch (error) {
        t.is((error as Error).name, 'HuskError', String((error as Error).stack));
      }
    }
  }
});
