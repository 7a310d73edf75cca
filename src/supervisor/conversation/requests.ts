/** The requests that are answered with one event and leave the connection as it was. Decodes nothing, keeps nothing. */
import { HuskError } from '../../errors.ts';
import type { ContainerControl } from '../life/control.ts';
import type { Event, Request } from '../protocol/protocol.ts';

/**
 * Those that make the connection carry a process, belong to a stream that it carries, or depend on what it was before.
 */
type OfConversation =
  | 'hello'
  | 'prepare-networks'
  | 'start'
  | 'attach'
  | 'exec'
  | 'files'
  | 'join-files'
  | 'stdin-end'
  | 'detach';

export type PlainRequest = Exclude<Request, { type: OfConversation }>;

const OK: Event = { type: 'ok' };

/** @throws HuskError `corrupt` for a request that there is not */
export async function answer(control: ContainerControl, request: PlainRequest): Promise<Event> {
  switch (request.type) {
    case 'open':
      await control.open(request.task);
      return OK;
    case 'release-files':
      control.releaseFiles();
      return OK;
    case 'leave-start':
      control.arrived(request.awaited);
      return OK;
    case 'resize':
      await resize(control, request);
      return OK;
    case 'signal':
      if (request.exec === undefined) await control.signal(request.signal, request.byUser === true);
      else await control.execs.signal(request.exec, request.signal);
      return OK;
    case 'stop':
      await control.stop(request);
      return OK;
    case 'wait':
      return { type: 'exit', ...(await control.exit()) };
    case 'pause':
      await control.pause(request);
      return OK;
    case 'unpause':
      await control.unpause();
      return OK;
    case 'save':
      return { type: 'ok', value: await control.save() };
    case 'stats':
      return { type: 'ok', value: await control.sandbox().stats() };
    case 'processes':
      return { type: 'ok', value: await control.sandbox().processes() };
    case 'ps':
      return { type: 'ok', value: await control.sandbox().ps(request.options) };
    case 'update':
      await control.update(request);
      return OK;
    case 'connect-network':
      await control.connectNetwork(request);
      return OK;
    case 'disconnect-network':
      await control.disconnectNetwork(request.networkId);
      return OK;
    default:
      throw new HuskError(`unknown request "${(request as { type: string }).type}"`, { kind: 'corrupt' });
  }
}

async function resize(control: ContainerControl, request: Extract<Request, { type: 'resize' }>): Promise<void> {
  const [columns, rows] = [bounded(request.columns), bounded(request.rows)];
  if (request.exec !== undefined) return (await control.execs.running(request.exec)).resize(columns, rows);
  // says so where nothing runs
  control.sandbox();
  control.process?.resize(columns, rows);
  control.record('resize', { height: String(rows), width: String(columns) });
}

/** terminal sizes are u16 in struct winsize, ioctl_tty(2) */
function bounded(size: number): number {
  return Math.max(0, Math.min(0xffff, Math.trunc(size) || 0));
}
