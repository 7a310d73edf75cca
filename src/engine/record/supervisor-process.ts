/**
 * Gets a supervisor process that is not yet anybody's. The launcher (launcher/husk.c) may have started one beside the
 * command: its connection is then an inherited fd. Otherwise one is spawned: detached, its own session, no terminal.
 */
import { closeSync, fstatSync } from 'node:fs';
import type { Socket } from 'node:net';
import { causeOf, HuskError } from '../../errors.ts';
import { INTERNAL, SELF } from '../../program.ts';
import { SupervisorClient } from '../../supervisor/client.ts';

/** launcher/husk.c: SUPERVISOR_FD_VARIABLE */
const FD_VARIABLE = 'HUSK_SUPERVISOR_FD';

function supervisorCommand(): readonly string[] {
  return [...SELF, INTERNAL, 'supervisor'];
}

/** @param argv of the supervisor program; the launcher's own is used only for the default one */
export function takeSupervisor(argv?: readonly string[]): SupervisorClient {
  const connection = (argv === undefined ? inherited() : undefined) ?? spawnSupervisor(argv ?? supervisorCommand());
  return new SupervisorClient(connection);
}

/** The supervisor that was started beside this command is of no use to it: it reads end-of-file and leaves. */
export function dismissSupervisor(): void {
  const fd = inherited();
  if (fd !== undefined) closeSync(fd);
}

/** @returns undefined also where the variable is not the launcher's, and names what is no socket */
function inherited(): number | undefined {
  const text = process.env[FD_VARIABLE];
  delete process.env[FD_VARIABLE];
  if (text === undefined || !/^\d{1,9}$/.test(text)) return undefined;
  const fd = Number(text);
  try {
    return fstatSync(fd).isSocket() ? fd : undefined;
  } catch {
    return undefined;
  }
}

function spawnSupervisor(argv: readonly string[]): Socket {
  // with the launcher's supervisor at hand this is never needed, and loading it costs 2 ms
  const { spawn } = process.getBuiltinModule('node:child_process');
  const child = spawn(argv[0]!, argv.slice(1), {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    detached: true,
    cwd: '/',
    argv0: 'husk-supervisor',
  });
  const socket = child.stdio[3] as Socket;
  child.on('error', (error) =>
    socket.destroy(new HuskError(`cannot start a supervisor: ${causeOf(error)}`, { kind: 'internal', cause: error })),
  );
  // it lives on when this command ends, and this command does not wait for it
  child.unref();
  return socket;
}
