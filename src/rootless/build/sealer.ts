/**
 * The program that makes layers of what a build's steps have written: one for a build, in a user namespace with the
 * steps' ids, asked over pipes (src/images/layers/seal-main.ts). It ends when this process does.
 */
import type { SealJob, Sealed } from '../../container/files/seal.ts';
import { HuskError, type ErrorKind } from '../../errors.ts';
import type { Launched } from '../../launch/executor.ts';
import { SIGKILL } from '../../notation/signals.ts';
import type { IdMaps } from '../idmap.ts';
import { runInUserNamespace } from '../namespace.ts';

interface Failure {
  error: { message: string; kind: ErrorKind; fix?: string };
}

export class Sealer {
  readonly #launched: Launched;
  /** those that are asked for, oldest first: the answers come in this order */
  readonly #waiting: PromiseWithResolvers<Sealed>[] = [];
  readonly #ended: Promise<void>;
  #rest = '';
  #dead: HuskError | undefined;

  /** @param kept folders with what it reads and writes, where root runs husk */
  constructor({ maps, kept }: { maps: IdMaps; kept: readonly string[] }) {
    this.#launched = runInUserNamespace({
      program: { internal: 'seal' },
      maps,
      reach: { kept },
      stdin: 'pipe',
      stdout: 'pipe',
    });
    this.#launched.stdout!.setEncoding('utf8').on('data', (text: string) => this.#read(text));
    // It may end before it has read what it is asked.
    this.#launched.stdin!.on('error', () => {});
    this.#ended = this.#end();
  }

  seal(job: SealJob): Promise<Sealed> {
    const answer = Promise.withResolvers<Sealed>();
    if (this.#dead) answer.reject(this.#dead);
    else {
      this.#waiting.push(answer);
      this.#launched.stdin!.write(`${JSON.stringify(job)}\n`);
    }
    return answer.promise;
  }

  #read(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop()!;
    for (const line of lines) {
      const said = JSON.parse(line) as Sealed | Failure;
      const answer = this.#waiting.shift();
      if ('error' in said) answer?.reject(new HuskError(said.error.message, said.error));
      else answer?.resolve(said);
    }
  }

  async #end(): Promise<void> {
    let why = 'it has ended';
    await this.#launched.started.catch((error: Error) => (why = error.message));
    await Promise.all([this.#launched.exited, new Promise((closed) => this.#launched.stdout!.once('close', closed))]);
    this.#dead = new HuskError(`the program that makes layers does not answer: ${why}`, { kind: 'internal' });
    for (const answer of this.#waiting.splice(0)) answer.reject(this.#dead);
  }

  /** What is asked for and not answered yet fails. */
  async close(): Promise<void> {
    this.#launched.stdin!.end();
    if (this.#waiting.length > 0) this.#launched.signal(SIGKILL);
    await this.#ended;
  }
}
