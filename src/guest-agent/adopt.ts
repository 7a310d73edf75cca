/**
 * Makes a container that was copied with its machine one of its own, before any of its processes goes on. Loaded only
 * for a copy.
 */
import { writeFileSync } from 'node:fs';
import { FILES_FOLDER, type Request } from '../agent-protocol.ts';
import { setHostname } from '../host/kernel/network-namespace.ts';
import { resetConnections } from './connections.ts';
import { renewInterfaces } from './network-interface.ts';

/** @param pid of a process in the container's namespaces @throws HuskError, SyscallError */
export function giveIdentity(
  pid: number,
  { files, hostname, interfaces }: Pick<Extract<Request, { type: 'adopt' }>, 'files' | 'hostname' | 'interfaces'>,
): void {
  // written and not replaced: they are bound into the container
  for (const { name, content } of files) writeFileSync(`${FILES_FOLDER}/${name}`, Buffer.from(content, 'base64'));
  if (hostname !== undefined) setHostname(pid, hostname);
  // with a way out the resets would come to the other ends, and end what the container copied has there
  renewInterfaces(pid, interfaces, { without: () => resetConnections(pid) });
}
