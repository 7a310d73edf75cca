/** Repositories for tests, and a server of them on this machine's loopback: git's own, behind one of Node's. */
import { execFileSync, spawn } from 'node:child_process';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

const IDENTITY = {
  GIT_AUTHOR_NAME: 'a',
  GIT_AUTHOR_EMAIL: 'a@b',
  GIT_AUTHOR_DATE: '2020-01-02T03:04:05Z',
  GIT_COMMITTER_NAME: 'a',
  GIT_COMMITTER_EMAIL: 'a@b',
  GIT_COMMITTER_DATE: '2020-01-02T03:04:05Z',
};
/** seconds since 1970 of every commit */
export const COMMITTED = Date.parse(IDENTITY.GIT_COMMITTER_DATE) / 1000;

const gitEnv = () => ({
  PATH: process.env['PATH'],
  HOME: '/nonexistent',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  ...IDENTITY,
});

/** What git prints. */
export const runGit = (folder: string, args: readonly string[], input: string | Buffer = ''): string =>
  execFileSync('git', args, {
    cwd: folder,
    env: gitEnv(),
    input,
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'pipe'],
  }).trim();

/** Contents of a file; a mode and contents; or the commit of a submodule. */
export type Entry = string | { mode: '100755' | '120000'; data: string } | { commit: string };

/**
 * Makes a bare repository with one commit on `main`. It is made of git's objects, so that it may have what no working
 * tree can.
 * @returns the commit
 */
export function makeRepository(folder: string, name: string, files: Record<string, Entry>): string {
  const repository = join(folder, name);
  runGit(folder, ['init', '--quiet', '--bare', '-b', 'main', repository]);
  return commitTo(repository, files);
}

/** Puts another commit on top of `main`. */
export function commitTo(repository: string, files: Record<string, Entry>): string {
  const lines = Object.entries(files).map(([path, entry]) => {
    if (typeof entry === 'object' && 'commit' in entry) return `160000 commit ${entry.commit}\t${path}`;
    const { mode, data } = typeof entry === 'string' ? { mode: '100644', data: entry } : entry;
    return `${mode} blob ${runGit(repository, ['hash-object', '-w', '--stdin'], data)}\t${path}`;
  });
  runGit(repository, ['read-tree', '--empty']);
  runGit(repository, ['update-index', '--add', '--index-info'], lines.map((line) => `${line}\n`).join(''));
  const tree = runGit(repository, ['write-tree', '--missing-ok']);
  const parent = runGit(repository, ['for-each-ref', '--format=%(objectname)', 'refs/heads/main']);
  const commit = runGit(repository, ['commit-tree', '-m', 'x', ...(parent === '' ? [] : ['-p', parent]), tree]);
  runGit(repository, ['update-ref', 'refs/heads/main', commit]);
  return commit;
}

export interface GitServer extends AsyncDisposable {
  url: string;
  asked: string[];
}

/**
 * Serves the repositories of a folder.
 * @param answer takes a request over by returning true
 */
export async function serveRepositories(
  folder: string,
  answer: (request: IncomingMessage, response: ServerResponse) => boolean = () => false,
): Promise<GitServer> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url!);
    if (!answer(request, response)) backend(folder, request, response);
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}

/** git-http-backend(1): a CGI program. */
export function backend(folder: string, request: IncomingMessage, response: ServerResponse): void {
  const { pathname, search } = new URL(request.url!, 'http://h');
  const child = spawn('git', ['http-backend'], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: {
      ...gitEnv(),
      GIT_PROJECT_ROOT: folder,
      GIT_HTTP_EXPORT_ALL: '1',
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'safe.directory',
      GIT_CONFIG_VALUE_0: '*',
      PATH_INFO: pathname,
      QUERY_STRING: search.slice(1),
      REQUEST_METHOD: request.method,
      CONTENT_TYPE: request.headers['content-type'] ?? '',
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
      GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
      REMOTE_ADDR: '127.0.0.1',
    },
  });
  child.stdin.on('error', () => {});
  request.pipe(child.stdin);
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.once('close', () => {
    const all = Buffer.concat(chunks);
    const end = all.indexOf('\r\n\r\n');
    for (const line of all.toString('latin1', 0, end).split('\r\n')) {
      const colon = line.indexOf(':');
      const [name, value] = [line.slice(0, colon), line.slice(colon + 1).trim()];
      if (name === 'Status') response.statusCode = Number.parseInt(value, 10);
      else response.setHeader(name, value);
    }
    response.end(all.subarray(end + 4));
  });
}
