/**
 * `husk login`: asks the user for what is missing, checks it at the registry, and stores the credentials where Docker
 * stores them.
 */
import { createInterface } from 'node:readline';
import { type Config, readConfig } from '../../config.ts';
import { HuskError } from '../../errors.ts';
import { checkCredentials } from '../../images/registry/login.ts';
import { storeCredentials } from '../../images/registry/credential-store.ts';
import { findCredentials } from '../../images/registry/credentials.ts';
import { paths } from '../../paths.ts';
import type { Context, Invocation } from '../grammar/command.ts';
import { registryHost } from '../../images/registry/registry-host.ts';
import { rawMode } from '../session.ts';
import { printable } from '../output/printable.ts';

/** limit of a password or token: bytes where it is piped in, characters where it is typed */
const MAX_SECRET = 64 << 10;

export async function run({ flags, arguments: [server], context }: Invocation): Promise<number> {
  const host = registryHost(server);
  let username = flags.string('username').trim();
  let password = flags.string('password');
  if (flags.bool('password-stdin')) {
    if (password !== '')
      throw new HuskError('conflicting options: cannot specify both --password and --password-stdin', {
        kind: 'invalid',
      });
    if (username === '')
      throw new HuskError('the --password-stdin option requires --username to be set', { kind: 'invalid' });
    password = (await readAll(context)).replace(/\r?\n$/, '');
  } else if (password !== '')
    context.stderr.write('WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n');
  const config = readConfig(context.globals.configFile ?? paths({ env: context.env }).configFile);
  if (username === '' && password === '' && (await loginWithStored(host, config, context))) return 0;
  if ((username === '' || password === '') && !context.stdin.isTTY)
    throw new HuskError('cannot perform an interactive login from a non-TTY device', {
      kind: 'invalid',
      fix: 'use --username and --password-stdin',
    });
  if (username === '') username = (await ask('Username: ', context)).trim();
  if (username === '') throw new HuskError('username is required', { kind: 'invalid' });
  if (password === '') password = await askSecret('Password: ', context);
  if (password === '') throw new HuskError('password is required', { kind: 'invalid' });
  // A `:` ends the user name in config.json and in Basic authentication (RFC 7617).
  if (username.includes(':')) throw new HuskError('a user name cannot have a colon', { kind: 'invalid' });

  await checkCredentials(host, { kind: 'password', username, password }, { config, env: context.env });
  const file = await storeCredentials(host, { username, password }, context.env);
  if (file !== undefined)
    context.stderr.write(
      `\nWARNING! Your credentials are stored unencrypted in '${file}'.\nConfigure a credential helper to remove this warning.\n\n`,
    );
  context.stdout.write('Login Succeeded\n');
  return 0;
}

/**
 * Tries the stored credentials first, as Docker does, so that a user who has logged in before is asked for nothing.
 * @returns false when nothing is stored, or it is refused
 */
async function loginWithStored(host: string, config: Config, { env, stdout, stderr }: Context): Promise<boolean> {
  const stored = await findCredentials(host, { env });
  if (!stored) return false;
  const who = stored.kind === 'password' ? ` [Username: ${stored.username}]` : '';
  const say = (line: string): void => void stderr.write(`${printable(line, stderr)}\n`);
  say(`Authenticating with existing credentials...${who}`);
  say("To login with a different account, run 'husk logout' followed by 'husk login'");
  try {
    await checkCredentials(host, stored, { config, env });
  } catch (error) {
    if (!(error instanceof HuskError)) throw error;
    say(
      error.kind === 'unauthorized'
        ? 'Stored credentials invalid or expired'
        : `Login did not succeed, error: ${error.message}`,
    );
    return false;
  }
  stdout.write('Login Succeeded\n');
  return true;
}

async function readAll(context: Context): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of context.stdin) {
    size += (chunk as Buffer).length;
    if (size > MAX_SECRET) throw new HuskError(`the password is longer than ${MAX_SECRET} bytes`, { kind: 'limit' });
    chunks.push(Buffer.from(chunk as Buffer));
  }
  return Buffer.concat(chunks).toString('utf8');
}

async function ask(question: string, context: Context): Promise<string> {
  context.stdout.write(question);
  const lines = createInterface({ input: context.stdin });
  const answer = await new Promise<string>((resolve) => lines.once('line', resolve).once('close', () => resolve('')));
  lines.close();
  return answer;
}

/** Asks for a secret; it reads the keys itself, so that nothing is echoed. */
async function askSecret(question: string, context: Context): Promise<string> {
  context.stdout.write(question);
  using raw = rawMode(context.stdin);
  void raw;
  let secret = '';
  context.stdin.resume();
  const typed = new Promise<string>((resolve, reject) => {
    const onData = (chunk: Buffer): void => {
      for (const character of chunk.toString('utf8')) {
        if (character === '\r' || character === '\n' || character === '\x04') {
          context.stdin.off('data', onData);
          resolve(secret);
          return;
        }
        if (character === '\x03') {
          context.stdin.off('data', onData);
          reject(new HuskError('login was interrupted', { kind: 'invalid', exitCode: 130 }));
          return;
        }
        if (character === '\x7f' || character === '\b') secret = [...secret].slice(0, -1).join('');
        else if (secret.length < MAX_SECRET) secret += character;
      }
    };
    context.stdin.on('data', onData);
  });
  try {
    return await typed;
  } finally {
    context.stdin.pause();
    context.stdout.write('\n');
  }
}
