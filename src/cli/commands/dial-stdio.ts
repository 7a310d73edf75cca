/**
 * `husk system dial-stdio`: stdin and stdout are one connection to the API, which is how `docker -H ssh://HOST` reaches
 * it. The client opens several such connections at once, which must meet in one server: one is started that outlives
 * this command and ends when nobody uses it.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { HuskError } from '../../errors.ts';
import { paths } from '../../paths.ts';
import { SELF } from '../../program.ts';
import { nameSocket } from '../../runtime-folder.ts';
import type { Context, Invocation } from '../grammar/command.ts';

/** characters of a server's words that are repeated where it could not start */
const MOST_SHOWN = 2000;

export async function run({ context }: Invocation): Promise<number> {
  const { defaultSocket } = await import('../../service/listen.ts');
  const path = defaultSocket(paths({ env: context.env }).runtimeDir);
  const socket = (await dial(path)) ?? (await started(path, context));
  const { stdin } = context;
  const output = process.stdout;
  // The end of input is the server's to hear, and output goes on; the server's end is that of both.
  stdin.pipe(socket);
  socket.pipe(output, { end: false });
  // The client has gone: there is nobody to write to.
  output.once('error', () => socket.destroy());
  stdin.once('error', () => socket.destroy());
  await Promise.race([once(socket, 'end'), once(socket, 'close')]).catch(() => {});
  socket.destroy();
  stdin.destroy();
  return 0;
}

async function dial(path: string): Promise<Socket | undefined> {
  const { used: socket, release } = nameSocket(path, (name) => connect({ path: name, allowHalfOpen: true }));
  try {
    await once(socket, 'connect');
    return socket;
  } catch {
    return undefined;
  } finally {
    release();
  }
}

/** Starts a server, or finds that of another dial-stdio which was sooner. */
async function started(path: string, { globals }: Context): Promise<Socket> {
  const [program, ...own] = SELF;
  const words = [
    ...(globals.dataRoot === undefined ? [] : ['--data-root', globals.dataRoot]),
    ...(globals.configFile === undefined ? [] : ['--config', globals.configFile]),
    'serve',
    '--idle-timeout=30s',
  ];
  const child = spawn(program, [...own, ...words], { stdio: ['ignore', 'pipe', 'pipe'], detached: true, cwd: '/' });
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(0, MOST_SHOWN);
  });
  // It says where it listens, or ends.
  await Promise.race([once(child.stdout, 'data'), once(child, 'close')]);
  const socket = await dial(path);
  if (socket === undefined)
    throw new HuskError(`cannot start husk serve: ${complaint.trim() || 'it ended at once'}`, { kind: 'unavailable' });
  child.stdout.destroy();
  child.stderr.destroy();
  child.unref();
  return socket;
}
