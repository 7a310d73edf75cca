/**
 * A query → its answer: out of the names of the container's networks, else from a resolver. It does not know how the
 * query came or how the answer goes: a container's socket, or a VM's stream.
 */
import { answerOwn, type NameSource } from './answer.ts';
import { type Protocol, refuse } from './compose.ts';
import { GivenAnswers } from './given-answers.ts';
import { type AnswerPolicy, keptAnswer, readAnswer } from './kept-answer.ts';
import { type Query, RCODE, readQuery } from './message.ts';
import type { Upstream } from './upstream.ts';

export interface ResponderOptions {
  names: NameSource;
  /** the container's id */
  asker: string;
  upstream: Upstream;
  /** the person has set `ndots` */
  ndotsSet: boolean;
  /** absent: every name may be asked for, and every answer is passed on as it is */
  policy?: AnswerPolicy;
  /** told of what went wrong with a query that was whole; its client is told SERVFAIL */
  problem(error: unknown): void;
}

/** What to do with a query. `reply` is called once: with undefined when nothing is to be said. */
export type Respond = (bytes: Buffer, protocol: Protocol, reply: (answer: Buffer | undefined) => void) => void;

export function responder(options: ResponderOptions): Respond {
  const { names, policy, problem } = options;
  // what a policy lets through changes without the records
  const given = names.version && !policy ? new GivenAnswers(() => names.version!()) : undefined;
  return (bytes, protocol, reply) => {
    let again: Buffer | undefined;
    let broken: { error: unknown } | undefined;
    try {
      again = given?.find(bytes, protocol);
    } catch (error) {
      broken = { error };
    }
    if (again) return reply(again);
    const query = readQuery(bytes);
    if (query === undefined) return reply(undefined);
    if ('rcode' in query) return reply(refuse(query, query.rcode));
    const failed = (error: unknown) => {
      problem(error);
      return refuse(query, RCODE.SERVFAIL);
    };
    if (broken) return reply(failed(broken.error));
    let own: Buffer | undefined;
    try {
      own = answerAlone(query, protocol, options);
      if (own) given?.keep(query, protocol, own);
    } catch (error) {
      own = failed(error);
    }
    if (own) return reply(own);
    void answerFromOutside(query, protocol, options).catch(failed).then(reply);
  };
}

/** Most queries end here, without a promise. */
function answerAlone(query: Query, protocol: Protocol, options: ResponderOptions): Buffer | undefined {
  // RFC 6891 §6.1.3: nothing but version 0 is known yet
  if (query.edns && query.edns.version !== 0) return refuse(query, RCODE.BADVERS);
  const own = answerOwn(query, { ...options, protocol });
  if (own) return own;
  return options.policy?.allow(query.name, query.type) === false ? refuse(query, RCODE.NXDOMAIN) : undefined;
}

async function answerFromOutside(query: Query, protocol: Protocol, options: ResponderOptions): Promise<Buffer> {
  const { upstream, policy } = options;
  const answer = await upstream.ask(query, protocol);
  if (typeof answer === 'number') return refuse(query, answer);
  if (!policy) return answer;
  const read = readAnswer(answer, query);
  if (read === undefined) return refuse(query, RCODE.SERVFAIL);
  const kept = await policy.onAnswer(query.name, read.addresses);
  return keptAnswer(answer, query, read, { kept, maxTtl: policy.maxTtl, protocol });
}
