/** The two connections of BuildKit's clients, both HTTP/2 after an upgrade: their calls, and the session they serve. */
import { HuskError } from '../../errors.ts';
import type { Engine } from '../../engine/contract.ts';
import type { Answer, Call, Hijacked, Route } from '../http/contract.ts';
import type { Control } from './control.ts';
import type { Sessions } from './session.ts';

/** by engine: clients open several connections for one build */
const parts = new WeakMap<Engine, Promise<{ control: Control; sessions: Sessions }>>();

/** Nothing of this is loaded before a client builds by BuildKit's protocol. */
function partsOf(engine: Engine): Promise<{ control: Control; sessions: Sessions }> {
  let found = parts.get(engine);
  if (!found) {
    found = (async () => {
      const [{ Control }, { Sessions }] = await Promise.all([import('./control.ts'), import('./session.ts')]);
      const sessions = new Sessions();
      return { control: new Control(engine, sessions), sessions };
    })();
    parts.set(engine, found);
  }
  return found;
}

function upgraded({ headers }: Call, take: (begin: () => Hijacked) => Promise<void>): Answer {
  if (headers.upgrade?.toLowerCase() !== 'h2c')
    throw new HuskError('no upgrade proto in request: h2c is the one there is', { kind: 'invalid' });
  return { kind: 'hijack', take };
}

const grpc = (call: Call, engine: Engine): Answer =>
  upgraded(call, async (begin) => {
    const { control } = await partsOf(engine);
    const { serveGrpc } = await import('./server.ts');
    const { stream, signal } = begin();
    let bug: unknown;
    await serveGrpc(stream, control.methods(), { signal, onBug: (error) => (bug ??= error) });
    // The server tells it where it tells every fault of its own.
    if (bug !== undefined) throw bug;
  });

const session = (call: Call, engine: Engine): Answer =>
  upgraded(call, async (begin) => (await partsOf(engine)).sessions.serve(call.headers, begin));

export const buildkitRoutes: readonly Route[] = [
  { method: 'POST', path: '/grpc', hijacks: true, handler: grpc },
  { method: 'POST', path: '/session', hijacks: true, handler: session },
];
