/** `GET /containers/X/logs` */
import type { Engine } from '../../../engine/contract.ts';
import { HuskError } from '../../../errors.ts';
import type { Answer, Handler, Query } from '../../http/contract.ts';
import { bytesOf, framesOf } from '../../http/multiplex.ts';
import { logLines, type AskedLog } from './streams/log-lines.ts';
import { streamType } from './streams/stream-type.ts';

export const logs: Handler = async ({ parameters, query, version, signal }, engine): Promise<Answer> => {
  const { id, config } = engine.get(parameters['name']!);
  const asked = readAsked(query);
  await checkReadable(engine, id);
  const { tty } = config.options;
  return {
    kind: 'bytes',
    type: streamType(tty, version),
    // A client that follows waits for the head, and a container may say nothing for long.
    early: true,
    bytes: pieces(logLines(engine, id, { ...asked, signal }), tty),
  };
};

/** @throws HuskError `invalid` in Docker's words */
function readAsked(query: Query): AskedLog {
  const asked: AskedLog = {
    stdout: query.boolean('stdout'),
    stderr: query.boolean('stderr'),
    follow: query.boolean('follow'),
    timestamps: query.boolean('timestamps'),
    details: query.boolean('details'),
    since: query.moment('since'),
    until: query.moment('until'),
    tail: readTail(query.text('tail')),
  };
  if (!asked.stdout && !asked.stderr)
    throw new HuskError('Bad parameters: you must choose at least one stream', { kind: 'invalid' });
  return asked;
}

/** Docker reads `all`, what is no number and what is negative as all of it. */
const readTail = (text = ''): number | undefined => (/^\d{1,15}$/.test(text) ? Number(text) : undefined);

/** A driver that keeps nothing here is an error with a status. @throws HuskError */
async function checkReadable(engine: Engine, id: string): Promise<void> {
  for await (const _none of engine.logs(id, { tail: 0 })) return;
}

async function* pieces(lines: ReturnType<typeof logLines>, tty: boolean): AsyncGenerator<Uint8Array> {
  for await (const payloads of lines) yield tty ? bytesOf(payloads) : framesOf(payloads);
}
