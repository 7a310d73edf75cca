/**
 * Servers of the API that listen on TCP, for `husk doctor`: whoever reaches such a port is the user. Each leaves a
 * record in the runtime folder while it lives; a record whose process is gone is not told, and goes with the next
 * server.
 */
import { constants, fstatSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { OpenFile } from '../../open-file.ts';
import { makeRuntimeFolder } from '../../runtime-folder.ts';
import { identifySelf, isAlive, type ProcessIdentity } from '../../state/process-identity.ts';
import { writeWholeFile } from '../../whole-file.ts';

export interface TcpListener {
  /** `tcp://127.0.0.1:2375` */
  url: string;
  /** whether clients must have a certificate */
  tls: boolean;
}

interface Server {
  identity: ProcessIdentity;
  listeners: TcpListener[];
}

const NAME = /^serve-\d{1,10}\.json$/;
/** bytes of a record; the monitor of a VM may write to the folder as well */
const MAX_RECORD = 1 << 16;
/** records that are looked at */
const MAX_RECORDS = 100;
const URL_OF_TCP = /^tcp:\/\/[\d.:[\]a-f]{2,50}$/;

/** Tells that this process listens. @returns a function that takes it back */
export function recordTcpListeners(runtimeDir: string, listeners: readonly TcpListener[]): () => void {
  makeRuntimeFolder(runtimeDir);
  for (const { file, server } of records(runtimeDir))
    if (server === undefined) rmSync(file, { force: true, recursive: true });
  const file = join(runtimeDir, `serve-${process.pid}.json`);
  writeWholeFile(file, JSON.stringify({ identity: identifySelf(), listeners }), { mode: 0o600 });
  return () => rmSync(file, { force: true });
}

/** @returns those of servers that run */
export const tcpListeners = (runtimeDir: string): (TcpListener & { pid: number })[] =>
  records(runtimeDir).flatMap(({ server }) =>
    (server?.listeners ?? []).map((listener) => ({ ...listener, pid: server!.identity.pid })),
  );

/** @returns each record, without a server where it is none or its process is gone */
function records(runtimeDir: string): { file: string; server: Server | undefined }[] {
  return namesIn(runtimeDir)
    .filter((name) => NAME.test(name))
    .slice(0, MAX_RECORDS)
    .map((name) => {
      const file = join(runtimeDir, name);
      const server = read(file);
      return { file, server: isAlive(server?.identity) ? server : undefined };
    });
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** @returns undefined for what is no record: a link, a pipe, what is too large, what has other fields */
function read(file: string): Server | undefined {
  try {
    using open = new OpenFile(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const stat = fstatSync(open.fd);
    if (!stat.isFile() || stat.size > MAX_RECORD) return undefined;
    return checked(JSON.parse(readFileSync(open.fd, 'utf8')));
  } catch {
    return undefined;
  }
}

function checked(value: unknown): Server | undefined {
  const { identity, listeners } = value as Partial<Server>;
  const { pid, startTime, bootId } = identity ?? ({} as Partial<ProcessIdentity>);
  if (!Number.isInteger(pid) || typeof startTime !== 'string' || typeof bootId !== 'string') return undefined;
  if (!Array.isArray(listeners)) return undefined;
  const known = listeners.filter(({ url, tls }) => URL_OF_TCP.test(url) && typeof tls === 'boolean');
  return { identity: identity!, listeners: known };
}
