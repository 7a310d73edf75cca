/**
 * containers/<id>/supervisor.json: where a container's supervisor listens, and the key that a client must say first. A
 * container can be given the runtime folder (`-v /tmp:/tmp`, `-v $XDG_RUNTIME_DIR:…`) and with it the sockets of its
 * siblings, whose owner it is on the host; it is not given the data root, where the key lies. Kept in a file and not in
 * the record, so that supervisors can be reached when the database is damaged.
 */
import { lstatSync, readFileSync, rmSync } from 'node:fs';
import { basename, isAbsolute, join } from 'node:path';
import type { Paths } from '../../paths.ts';
import { writeWholeFile } from '../../whole-file.ts';

export interface Access {
  socket: string;
  /** absent: of a supervisor that was started before there were keys */
  key?: string;
}

const accessFile = (paths: Pick<Paths, 'container'>, id: string) => join(paths.container(id), 'supervisor.json');

/** Written before the supervisor listens: whoever connects knows the key. */
export function writeAccess(paths: Pick<Paths, 'container'>, id: string, access: Access): void {
  // a supervisor that nobody could ask for anything must not run: a failure is the start's
  writeWholeFile(accessFile(paths, id), JSON.stringify(access), { mode: 0o600 });
}

export function removeAccess(paths: Pick<Paths, 'container'>, id: string): void {
  rmSync(accessFile(paths, id), { force: true });
}

/**
 * The runtime folder that the supervisor chose may be another than this command's: it was started in a cron job, or
 * before a login. A jailed supervisor can write this file, so it may name nothing but a socket of this container's.
 */
export function readAccess(paths: Pick<Paths, 'container' | 'socket'>, id: string): Access {
  const usual = paths.socket(id);
  try {
    const { socket, key } = JSON.parse(readFileSync(accessFile(paths, id), 'utf8')) as Partial<
      Record<keyof Access, unknown>
    >;
    if (
      typeof socket === 'string' &&
      isAbsolute(socket) &&
      basename(socket) === basename(usual) &&
      typeof key === 'string'
    )
      return { socket, key };
  } catch {
    // none, or half a file after a power cut: where it would be
  }
  return { socket: usual };
}

/** What a supervisor left that was killed. */
export function removeSocket(paths: Pick<Paths, 'container' | 'socket'>, id: string): void {
  const { socket } = readAccess(paths, id);
  try {
    if (lstatSync(socket).isSocket()) rmSync(socket, { force: true });
  } catch {
    // it is gone, or where nobody can reach it
  }
}
