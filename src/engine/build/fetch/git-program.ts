/**
 * Runs git so that nothing but its own code and what it is told decides what it does: no configuration of the machine
 * or of a user, no hooks, no helpers, no prompt, and no transport but the one that is asked for. Its memory and its
 * files are bounded, and what it says is free of control characters.
 */
import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { HuskError } from '../../../errors.ts';
import type { GitTransport } from '../../../images/build/remote/git-url.ts';
import type { GitAuth } from './frames.ts';

/** KiB of address space: packs with objects of any size are read in windows of SETTINGS */
const MAX_MEMORY = 2 << 20;
/** bytes of STDOUT that is kept, and of STDERR */
const MAX_SAID = 4 << 20;
const MAX_COMPLAINT = 16 << 10;
/** of ulimit -f, POSIX */
const FILE_BLOCK = 512;
/** EX_NOTFOUND of a shell */
const NOT_FOUND = 127;
/** ms of one command: the slowest clone, and what would run for ever otherwise */
const LONGEST = 3_600_000;

/** what the caller's environment says of proxies; the program has nothing else of it */
const PROXY = /^(?:https?|no|all)_proxy$/i;

const SETTINGS: readonly (readonly [name: string, value: string])[] = [
  ['core.hooksPath', '/dev/null'],
  ['core.fsmonitor', 'false'],
  ['core.bigFileThreshold', '16m'],
  ['core.packedGitWindowSize', '32m'],
  ['core.packedGitLimit', '256m'],
  ['credential.helper', ''],
  ['fetch.recurseSubmodules', 'false'],
  // One pack, which a limit of a file's size bounds, and not any number of files.
  ['fetch.unpackLimit', '1'],
  ['gc.auto', '0'],
  ['http.followRedirects', 'initial'],
  ['http.lowSpeedLimit', '1000'],
  ['http.lowSpeedTime', '60'],
  ['maintenance.auto', 'false'],
  ['pack.threads', '1'],
  ['tar.umask', '0022'],
  ['transfer.bundleURI', 'false'],
];

export interface GitOptions {
  /** folder of the bare repository; absent for what needs none */
  repository?: string;
  /** bytes that a file which git writes may have */
  maxSize: number;
  /** the transports that may be used, redirects included; none for what is local */
  transports?: readonly GitTransport[];
  userAgent: string;
  env?: Record<string, string>;
  auth?: GitAuth;
}

/** After a redirect git would go on with the header at the other server, and so there is none then. */
const authSettings = ({ origin, header }: GitAuth): [name: string, value: string][] => [
  [`http.${origin}.extraHeader`, `Authorization: ${header}`],
  [`http.${origin}.followRedirects`, 'false'],
];

interface Started {
  stdout: Readable;
  /** @throws HuskError with git's last words */
  ended: Promise<void>;
  kill(): void;
}

export function startGit(args: readonly string[], options: GitOptions): Started {
  const { repository, maxSize, transports = [], userAgent, env = {}, auth } = options;
  const settings = [...SETTINGS, ['http.userAgent', userAgent] as const, ...(auth ? authSettings(auth) : [])];
  // Where a limit cannot be set, a lower one is there already.
  const limits = [`-v ${MAX_MEMORY}`, `-f ${Math.floor(maxSize / FILE_BLOCK)}`, '-c 0'];
  const script = `${limits.map((limit) => `ulimit ${limit} 2>/dev/null`).join('; ')}; exec "$@"`;
  const own = repository === undefined ? [] : [`--git-dir=${repository}`];
  const child = spawn('/bin/sh', ['-c', script, 'sh', 'git', ...own, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: '/usr/local/bin:/usr/bin:/bin',
      HOME: '/nonexistent',
      LC_ALL: 'C',
      GIT_ALLOW_PROTOCOL: transports.join(':') || 'none',
      GIT_ASKPASS: '/bin/false',
      GIT_ATTR_NOSYSTEM: '1',
      GIT_CONFIG_GLOBAL: '/dev/null',
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_NO_LAZY_FETCH: '1',
      GIT_PROTOCOL_FROM_USER: '0',
      GIT_TERMINAL_PROMPT: '0',
      SSH_ASKPASS: '/bin/false',
      GIT_CONFIG_COUNT: String(settings.length),
      ...Object.fromEntries(
        settings.flatMap(([name, value], index) => [
          [`GIT_CONFIG_KEY_${index}`, name],
          [`GIT_CONFIG_VALUE_${index}`, value],
        ]),
      ),
      ...Object.fromEntries(Object.entries(process.env).filter(([name]) => PROXY.test(name))),
      ...env,
    },
    timeout: LONGEST,
    killSignal: 'SIGKILL',
  });
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint = (complaint + text).slice(-MAX_COMPLAINT)));
  const ended = new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      if (code === 0) resolve();
      else reject(failure(args[0]!, { code, signal, complaint }));
    });
  });
  ended.catch(() => {});
  return { stdout: child.stdout, ended, kill: () => void child.kill('SIGKILL') };
}

/** @returns what git prints, at most `limit` bytes of it @throws HuskError `limit`, or with git's last words */
export async function git(args: readonly string[], options: GitOptions, limit = MAX_SAID): Promise<string> {
  const { stdout, ended, kill } = startGit(args, options);
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stdout as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > limit) {
      kill();
      throw new HuskError(`git ${args[0]} says more than ${limit} bytes`, { kind: 'limit' });
    }
    chunks.push(chunk);
  }
  await ended;
  return Buffer.concat(chunks).toString('utf8');
}

function failure(
  command: string,
  { code, signal, complaint }: { code: number | null; signal: string | null; complaint: string },
): HuskError {
  if (code === NOT_FOUND && /git: not found/.test(complaint))
    return new HuskError('git is not installed', { kind: 'unsupported', fix: 'apt install git' });
  if (signal === 'SIGXFSZ' || code === 128 + 25 || /file size limit exceeded|File too large/i.test(complaint))
    return new HuskError(`git ${command}: what it fetches is too large`, {
      kind: 'limit',
      fix: 'if it is to be trusted, set "max-layer-size" in the config',
    });
  if (/Host key verification failed/.test(complaint))
    return new HuskError('the key of its host is not known', {
      kind: 'unavailable',
      fix: 'connect to it once with ssh, which puts it into ~/.ssh/known_hosts',
    });
  const said = lastWords(complaint);
  return new HuskError(said ?? `git ${command} ended with ${signal ?? code}`, { kind: 'unavailable' });
}

/**
 * @returns the line by which git, or the server, says what was wrong, without sequences that would move a terminal's
 * cursor, or set its colours
 */
export function lastWords(complaint: string): string | undefined {
  const lines = complaint
    .replace(/\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])/g, '')
    .split(/[\r\n]+/)
    .map((line) => line.replace(/[\x00-\x1f\x7f-\x9f]/g, '').trim())
    .filter((line) => line !== '');
  const found = lines.findLastIndex((line) => /^(?:fatal|error): /.test(line));
  // What ssh says stands before git's own line, which has no reason.
  const isEmpty = found > 0 && /^fatal: (?:Could not read from remote|the remote end hung up)/i.test(lines[found]!);
  const fatal = lines.at(isEmpty ? found - 1 : found);
  // "unable to connect to HOST:" has its reason, one for each address, on the lines below.
  const reason = !isEmpty && fatal?.endsWith(':') ? lines[found + 1] : undefined;
  const words = reason === undefined ? fatal : `${fatal} ${reason}`;
  return words?.replace(/^(?:fatal|error): /, '').slice(0, 500);
}
