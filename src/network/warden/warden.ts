/**
 * The warden of a virtual machine with `--egress`: it does for the machine, on the host, what a supervisor does for a
 * container in user namespaces. It answers names, and lets the addresses of an answer through before the machine hears
 * of them; it lets neighbours that rules name through as they come and go; it tells what was refused.
 *
 * Who asks it is the machine's monitor, which its guest may have taken over. Nothing of what that says is believed: it
 * is frames of bounded kinds and lengths with DNS queries in them, read at a bounded pace, and all that a question can
 * bring about is what the machine's own rules say of the name in it. Addresses, ports and the machine's place come from
 * the command that started the warden, and the end of the questions is not the end of the rules.
 */
import type { Duplex } from 'node:stream';
import type { DatabaseSync } from 'node:sqlite';
import type { ContainerEgress } from '../attach/container-egress.ts';
import { Pace } from '../names/pace.ts';
import { serveRelay } from '../names/relay-host.ts';
import { hostResolver } from '../names/resolver-sockets.ts';
import { responder } from '../names/responder.ts';
import { type Resolver, Upstream } from '../names/upstream.ts';
import { namesIn } from '../records/names.ts';
import type { WardenTask } from './task.ts';

/** questions, a second and at once: no honest container has so many, and each costs this process 20 to 50 us */
const QUESTIONS = { each: 1000, burst: 2000 };

export interface QuestionOptions extends Pick<WardenTask, 'containerId' | 'resolvers' | 'ndotsSet' | 'forward'> {
  database: DatabaseSync;
  egress: Pick<ContainerEgress, 'namesOf' | 'policy'>;
  /** told of what went wrong without ending anything but the questions */
  problem(error: unknown): void;
  /** tests have their own */
  resolver?: (address: string) => Resolver;
  pace?: Pace;
}

/** Answers what the machine's monitor asks, until it stops asking. */
export function answerQuestions(stream: Duplex, options: QuestionOptions): void {
  const { containerId, database, egress, problem, ndotsSet, resolvers, forward, resolver = hostResolver } = options;
  const known = namesIn(database);
  serveRelay(stream, {
    answering: () => {
      // by the host alone: what the guest could ask itself, or answer, would be nobody's word
      const upstream = new Upstream(
        resolvers.map((address) => resolver(address)),
        { forward },
      );
      const respond = responder({
        asker: containerId,
        names: egress.namesOf(known),
        policy: egress.policy(known),
        upstream,
        ndotsSet,
        problem,
      });
      return { respond, close: () => upstream.close() };
    },
    pace: options.pace ?? new Pace(QUESTIONS),
    problem,
  });
}
