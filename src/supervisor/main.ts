/**
 * The internal program `supervisor`: one process beside each running container, started detached by the engine with its
 * first client's connection as fd 3 (or the one its argument names). It learns which container it is for from that
 * connection, exits at once when the client goes before saying so, and never outlives its container.
 */
import { appendFileSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { listenAt } from '../host/streams/listener.ts';
import { makeRuntimeFolder, nameSocket } from '../runtime-folder.ts';
import { ContainerLife, type LifeOptions } from './life/container-life.ts';
import { errorEvent } from './conversation/client-connection.ts';
import { Conversation } from './conversation/conversation.ts';
import { isOfThisNamespace } from './conversation/peer.ts';
import { openSandbox, type OpenSandbox } from './life/sandboxes.ts';
import { readDescriptors } from './protocol/descriptors.ts';
import { warmUp } from './warm-up.ts';

/** the first client's connection, made by the spawning process */
export const FIRST_CLIENT_FD = 3;
/** 15 characters, all that comm has */
const NAME = 'husk-supervisor';
/** clients at one time; more are refused */
const MAX_CLIENTS = 256;

/**
 * @param args the descriptor of the first client's connection, when it is not 3: a jailed supervisor's is its stdin;
 * then what else it has inherited (descriptors.ts)
 */
export async function main(
  args: string[],
  open: OpenSandbox = openSandbox,
  options: Pick<LifeOptions, 'keepFiles'> = {},
): Promise<number> {
  // what ps shows; husk-init, which starts a jailed one, cannot give it another name than its program's
  process.title = NAME;
  const jailed = args[0] !== undefined;
  const descriptors = readDescriptors(args[1]);
  const conversations = new Set<Conversation>();

  const life: ContainerLife = new ContainerLife({
    ...options,
    descriptors,
    openSandbox: (task, paths, network) => open(task, paths, { ...network, descriptors }),
    listen: (path, key) => {
      makeRuntimeFolder(dirname(path));
      rmSync(path, { force: true });
      const open = new Set<Socket>();
      const { used: listening, release } = nameSocket(path, (name) =>
        listenAt(name, (connection) => {
          using refused = connection;
          if (open.size >= MAX_CLIENTS || !(jailed || isOfThisNamespace(connection.number))) return;
          const socket = new Socket({ fd: refused.release() });
          open.add(socket);
          socket.once('close', () => open.delete(socket));
          void converse(new Conversation(socket, life, { key }));
        }),
      );
      return () => {
        listening[Symbol.dispose]();
        release();
        rmSync(path, { force: true });
      };
    },
  });

  function converse(conversation: Conversation): Promise<void> {
    conversations.add(conversation);
    return conversation.run().finally(() => conversations.delete(conversation));
  }

  // a logout or a shutdown: what is to be started again afterwards was not stopped by its user
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => void life.stop({ byUser: false }).catch(() => {}));
  process.on('SIGHUP', () => {});
  process.on('uncaughtException', (error) => {
    report(life, error);
    process.exit(1);
  });

  const first = new Conversation(new Socket({ fd: jailed ? Number(args[0]) : FIRST_CLIENT_FD }), life);
  void converse(first).then(() => life.abandon());
  // what user namespaces need
  if (open === openSandbox && !jailed) void warmUp().catch(() => {});
  await life.over;
  // what is left in the buffers goes out
  await Promise.all([...conversations].map((conversation) => conversation.finish()));
  // process.exit: handles that a sandbox keeps must not keep a supervisor without a container
  process.exit(0);
}

/** Writes an error into the container's folder: a supervisor has no terminal to tell it on. */
function report(life: ContainerLife, error: unknown): void {
  const folder = life.folder;
  if (!folder) return;
  const event = errorEvent(error);
  try {
    appendFileSync(
      join(folder, 'supervisor.log'),
      `${new Date().toISOString()} ${event.type === 'error' ? event.message : ''}\n`,
      { mode: 0o600 },
    );
  } catch {
    // the folder may be gone with its container
  }
}
