/** `POST /containers/X/wait`: the head goes at once, because clients start the container only when they have it. */
import type { ContainerExit } from '../../../engine/contract.ts';
import { causeOf, EXIT_HUSK_FAILED, HuskError } from '../../../errors.ts';
import type { Answer, Handler } from '../../http/contract.ts';

const CONDITIONS = ['not-running', 'next-exit', 'removed'] as const;
type Condition = (typeof CONDITIONS)[number];

/** API 1.30 was the first with conditions; before it a client's word is none. */
const CONDITIONS_SINCE = 30;

export const wait: Handler = ({ parameters, query, version, signal }, engine): Answer => {
  const { id } = engine.get(parameters['name']!);
  const condition = version.minor < CONDITIONS_SINCE ? 'not-running' : readCondition(query.text('condition'));
  // It waits from here on, before the head is sent: nothing that the client then does is missed.
  const exit = engine.wait(id, { condition, signal });
  exit.catch(() => {});
  return { kind: 'lines', early: true, lines: answer(exit, signal) };
};

/** of one whose command was never reached, for want of a port, say: moby daemon/start.go */
const NOT_STARTED = 128;

/** Why it did not start is start's to say: to a client an error here is one of waiting, which it prints as well. */
const isStartFailure = (code: number): boolean => code >= EXIT_HUSK_FAILED && code <= NOT_STARTED;

function readCondition(text: string | undefined): Condition {
  const condition = CONDITIONS.find((known) => known === (text ?? 'not-running'));
  if (!condition) throw new HuskError(`invalid condition: ${JSON.stringify(text)}`, { kind: 'invalid' });
  return condition;
}

async function* answer(exit: Promise<ContainerExit>, signal: AbortSignal): AsyncGenerator<unknown> {
  try {
    const { code, error } = await exit;
    yield { StatusCode: code, ...(error !== undefined && !isStartFailure(code) && { Error: { Message: error } }) };
  } catch (error) {
    if (!signal.aborted) yield { StatusCode: -1, Error: { Message: causeOf(error) } };
  }
}
