/** A person at the shell of a container: says a line, and hears its answer. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { join } from 'node:path';
import { root } from './parts.ts';

/** ms for an answer; the test host beside others is slow, and what never answers has failed */
const PATIENCE = 240_000;

export class Repl implements Disposable {
  readonly #child: ChildProcessWithoutNullStreams;
  #heard = '';
  #ended: string | undefined;
  #more = Promise.withResolvers<void>();
  #asked = 0;

  /** Attaches to a container whose command is a shell. */
  constructor(env: NodeJS.ProcessEnv, container: string) {
    this.#child = spawn(join(root, 'bin/husk'), ['attach', container], { env, stdio: 'pipe' });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream.setEncoding('latin1').on('data', (text: string) => {
        this.#heard += text;
        this.#wake();
      });
    this.#child.stdin.on('error', () => {});
    this.#child.on('close', (status) => {
      this.#ended = `attach ended with ${status}: ${this.#heard}`;
      this.#wake();
    });
  }

  #wake(): void {
    const { resolve } = this.#more;
    this.#more = Promise.withResolvers();
    resolve();
  }

  /** @returns what the shell wrote, trimmed. @throws when it does not answer */
  async ask(line: string): Promise<string> {
    const mark = `-- ${process.pid}.${++this.#asked} --`;
    this.#heard = '';
    this.#child.stdin.write(`${line}\necho '${mark}'\n`);
    const late = AbortSignal.timeout(PATIENCE);
    const over = new Promise<never>((_, reject) => {
      late.addEventListener('abort', () => reject(new Error(`no answer to "${line}", but "${this.#heard}"`)));
    });
    over.catch(() => {});
    while (!this.#heard.includes(mark)) {
      if (this.#ended !== undefined) throw new Error(this.#ended);
      await Promise.race([this.#more.promise, over]);
    }
    return this.#heard.split(mark)[0]!.trim();
  }

  /** The client goes; the shell stays. */
  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL');
  }
}
