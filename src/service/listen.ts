/**
 * Where the API is served: unix sockets, TCP, and sockets that systemd has opened. A unix socket belongs to its user
 * alone from its first moment on: whoever can connect to it is the user.
 */
import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, readlinkSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { connect, createServer, isIP, type AddressInfo, type ListenOptions, type Server } from 'node:net';
import { dirname, isAbsolute, join } from 'node:path';
import { causeOf, HuskError } from '../errors.ts';
import { makeRuntimeFolder, nameSocket } from '../runtime-folder.ts';

export type Address =
  | { kind: 'unix'; path: string }
  | { kind: 'tcp'; host: string; port: number }
  /** a listening socket that this process has inherited */
  | { kind: 'fd'; fd: number };

/** of Docker's engine: without TLS, and with it */
const PLAIN_PORT = 2375;
const TLS_PORT = 2376;
/** the first descriptor that systemd passes, sd_listen_fds(3) */
const FIRST_INHERITED = 3;
/** systemd passes a handful */
const MOST_INHERITED = 16;
/** bytes of sun_path with its NUL, linux/un.h */
const SUN_PATH = 108;

const invalid = (message: string, fix?: string): HuskError => new HuskError(message, { kind: 'invalid', fix });

/**
 * @param text of `--host`: `unix:///path`, `tcp://127.0.0.1:2375`
 * @param tls whether TCP is to be TLS, which has another default port
 * @throws HuskError `invalid`
 */
export function parseAddress(text: string, tls: boolean): Address {
  const [, scheme, rest = ''] = /^(unix|tcp):\/\/(.*)$/s.exec(text) ?? [];
  if (scheme === undefined)
    throw invalid(`invalid address ${JSON.stringify(text)}`, 'use unix:///PATH or tcp://ADDRESS:PORT');
  if (scheme === 'unix') {
    if (!isAbsolute(rest) || rest.includes('\0')) throw invalid(`${JSON.stringify(text)}: the path must be absolute`);
    return { kind: 'unix', path: rest };
  }
  const [, host, port = String(tls ? TLS_PORT : PLAIN_PORT)] = /^(\[[^\]]+\]|[^:]+)(?::(\d{1,5}))?$/.exec(rest) ?? [];
  const address = host?.replace(/^\[(.*)\]$/, '$1');
  // A name could come to mean another address, or several.
  if (address === undefined || (isIP(address) === 0 && address !== 'localhost') || Number(port) > 0xffff)
    throw invalid(`invalid address ${JSON.stringify(text)}`, 'use tcp://ADDRESS:PORT, with an IP address');
  return { kind: 'tcp', host: address === 'localhost' ? '127.0.0.1' : address, port: Number(port) };
}

/** @returns the sockets that systemd has opened for this process; the variables are not passed on */
export function inheritedAddresses(env: NodeJS.ProcessEnv, pid = process.pid): Address[] {
  const { LISTEN_PID: forWhom, LISTEN_FDS: count } = env;
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES']) delete env[name];
  if (forWhom !== String(pid) || !/^\d{1,3}$/.test(count ?? '') || Number(count) > MOST_INHERITED) return [];
  return Array.from({ length: Number(count) }, (_, index) => ({ kind: 'fd', fd: FIRST_INHERITED + index }));
}

export interface Listening {
  /** as clients name it: `unix:///run/user/1000/husk/docker.sock`, `tcp://127.0.0.1:2375`, `fd://3` */
  url: string;
  /** removes what was made for it; the server itself is closed by its owner */
  release(): void;
}

/** @throws HuskError `conflict` where somebody serves there, `unsupported` where it cannot be opened */
export async function listen(server: Server, address: Address): Promise<Listening> {
  if (address.kind === 'unix') return await listenOnPath(server, address.path);
  if (address.kind === 'fd') return await listenOnInherited(server, address.fd);
  await opened(server, { host: address.host, port: address.port });
  const bound = server.address() as AddressInfo;
  const host = bound.family === 'IPv6' ? `[${bound.address}]` : bound.address;
  return { url: `tcp://${host}:${bound.port}`, release: () => {} };
}

/** systemd made it, with its modes, and keeps it when this process ends. */
async function listenOnInherited(server: Server, fd: number): Promise<Listening> {
  await opened(server, { fd });
  const bound = server.address();
  if (bound !== null && typeof bound !== 'string')
    throw invalid(`the inherited socket ${fd} is one of TCP`, 'give the unit ListenStream=%t/husk/docker.sock');
  // Node does not know the path of a socket that it has not bound.
  return { url: `fd://${fd}`, release: () => {} };
}

async function listenOnPath(server: Server, path: string): Promise<Listening> {
  if (Buffer.byteLength(path) >= SUN_PATH)
    throw invalid(`the path of the socket is longer than ${SUN_PATH - 1} bytes: ${path}`, 'name a shorter one');
  const folder = dirname(path);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw cannot(path, error);
  }
  const release = await clear(path);
  // bind(2) gives the socket the modes that umask(2) leaves; a chmod would come too late.
  const before = process.umask(0o177);
  const open = opened(server, { path });
  process.umask(before);
  await open.finally(release);
  const { ino } = statSync(path);
  return {
    url: `unix://${path}`,
    release() {
      if (lstatSync(path, { throwIfNoEntry: false })?.ino === ino) rmSync(path, { force: true });
    },
  };
}

function opened(server: Server, options: ListenOptions & { fd?: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    const { path, fd, host, port } = options;
    const where = path ?? (fd === undefined ? `${host}:${port}` : `the inherited descriptor ${fd}`);
    const failed = (error: Error): void => reject(cannot(where, error));
    server.once('error', failed);
    server.listen(options, () => {
      server.off('error', failed);
      resolve();
    });
  });
}

function cannot(where: string, cause: unknown): HuskError {
  if ((cause as NodeJS.ErrnoException).code === 'EADDRINUSE') return served(where);
  return new HuskError(`cannot listen at ${where}: ${causeOf(cause)}`, { kind: 'unsupported', cause });
}

const served = (where: string): HuskError =>
  new HuskError(`cannot listen at ${where}: somebody serves there already`, {
    kind: 'conflict',
    fix: 'use that one, end it, or name another address by --host',
  });

/**
 * Removes a socket that a killed server has left. Servers that find one at the same time do so in turn, or the second
 * would remove what the first has made: a name in the abstract namespace (unix(7)) is a lock that ends with its holder.
 * @returns a function that lets the next one go on, once this one listens
 * @throws HuskError `conflict` where somebody serves there, or something else than a socket is there
 */
async function clear(path: string): Promise<() => void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return () => {};
  if (!found.isSocket())
    throw new HuskError(`cannot listen at ${path}: something else than a socket is there`, { kind: 'conflict' });
  if (await isServed(path)) throw served(path);
  const lock = createServer();
  const name = createHash('sha256').update(path).digest('hex').slice(0, 32);
  try {
    await opened(lock, { path: `\0husk-serve-${process.geteuid!()}-${name}` });
  } catch (error) {
    throw new HuskError(`cannot listen at ${path}: another server is just starting there`, {
      kind: 'conflict',
      fix: `if there is none: rm ${path}`,
      cause: error,
    });
  }
  const release = (): void => void lock.close();
  if (await isServed(path)) {
    release();
    throw served(path);
  }
  rmSync(path, { force: true });
  return release;
}

/** @returns whether somebody listens on a unix socket */
export async function isServed(path: string): Promise<boolean> {
  const { used: socket, release } = nameSocket(path, (name) => connect(name));
  try {
    return await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true));
      // EAGAIN: its queue is full, so there is somebody to fill it.
      socket.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code === 'EAGAIN'));
    });
  } finally {
    socket.destroy();
    release();
  }
}

/** The socket of a user's server, in the folder of the supervisors' sockets. */
export const defaultSocket = (runtimeDir: string): string => join(runtimeDir, 'docker.sock');

/** Makes the folder of the default socket, and checks that it is this user's alone. @throws HuskError `unsupported` */
export const prepareDefaultFolder = (runtimeDir: string): void => makeRuntimeFolder(runtimeDir);

/**
 * Links `$XDG_RUNTIME_DIR/docker.sock`, where tools for rootless Docker look, to the default socket. What is there
 * stays, unless it is the link of a server that was killed.
 * @returns a function that removes the link again
 */
export function linkForTools(env: NodeJS.ProcessEnv, socket: string): () => void {
  const { XDG_RUNTIME_DIR: folder } = env;
  if (folder === undefined || !isAbsolute(folder) || dirname(dirname(socket)) !== folder) return () => {};
  const link = join(folder, 'docker.sock');
  const isOurs = (): boolean => {
    try {
      return readlinkSync(link) === socket;
    } catch {
      return false;
    }
  };
  try {
    if (!isOurs()) symlinkSync(socket, link);
  } catch {
    // Docker's own socket, or a folder that may not be written: the default socket is there all the same.
    return () => {};
  }
  return () => {
    if (isOurs()) rmSync(link, { force: true });
  };
}
