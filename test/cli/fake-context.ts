/**
 * A context whose streams are strings and whose engine is what a test gives; and `husk(...)`, which runs a command line
 * in it.
 */
import { EventEmitter } from 'node:events';
import { PassThrough } from 'node:stream';
import type { Context, Output } from '../../src/cli/grammar/command.ts';
import { main } from '../../src/cli/main.ts';
import type { Container, Engine } from '../../src/engine/contract.ts';
import type { Image } from '../../src/images/store/contract.ts';

export class FakeOutput extends EventEmitter implements Output {
  text = '';
  writes = 0;
  isTTY: boolean;
  columns: number | undefined;
  rows: number | undefined;

  constructor(terminal?: { columns: number; rows: number }) {
    super();
    this.isTTY = terminal !== undefined;
    this.columns = terminal?.columns;
    this.rows = terminal?.rows;
  }

  write(bytes: string | Uint8Array): boolean {
    this.text += typeof bytes === 'string' ? bytes : Buffer.from(bytes).toString('latin1');
    this.writes++;
    return true;
  }
}

export const NOW = Date.parse('2026-01-02T03:04:05Z');

export function fakeStdin(text = ''): NodeJS.ReadStream {
  const stream = new PassThrough();
  stream.end(text);
  return stream as unknown as NodeJS.ReadStream;
}

export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs `husk ...words` with a fake engine; what the engine has not makes the test fail loudly. */
export async function husk(
  words: string[],
  options: {
    engine?: Partial<Engine>;
    env?: NodeJS.ProcessEnv;
    stdin?: NodeJS.ReadStream;
    terminal?: { columns: number; rows: number };
    now?: number;
  } = {},
): Promise<Outcome> {
  const stdout = new FakeOutput(options.terminal);
  const stderr = new FakeOutput(options.terminal);
  const context: Partial<Context> = {
    stdin: options.stdin ?? fakeStdin(),
    stdout,
    stderr,
    env: options.env ?? {},
    engine: async () => (options.engine ?? {}) as Engine,
    now: () => options.now ?? NOW,
  };
  const code = await main(words, context);
  return { code, stdout: stdout.text, stderr: stderr.text };
}

const ID = 'c0ffee'.padEnd(64, '0');
const NEVER = '0001-01-01T00:00:00Z';

/** A container record with the given differences. */
export function container(
  differences: {
    id?: string;
    name?: string;
    createdAt?: number;
    config?: Partial<Container['config']>;
    state?: Partial<Container['state']>;
    tty?: boolean;
    interactive?: boolean;
    network?: string;
  } = {},
): Container {
  const options = {
    tty: differences.tty ?? false,
    interactive: differences.interactive ?? false,
    network: differences.network ?? 'default',
  } as Container['config']['options'];
  return {
    id: differences.id ?? ID,
    name: differences.name ?? 'calm_husk',
    imageId: `sha256:${'a'.repeat(64)}`,
    createdAt: differences.createdAt ?? NOW - 7_200_000,
    config: {
      options,
      image: 'alpine:3',
      imageId: `sha256:${'a'.repeat(64)}`,
      isolation: 'userns',
      path: 'sh',
      args: ['-c', 'echo hello there'],
      env: [],
      labels: {},
      workdir: '',
      user: '',
      stopSignal: 'SIGTERM',
      hostname: 'c0ffee',
      mounts: [],
      exposed: [],
      ...differences.config,
    },
    state: {
      status: 'created',
      pid: 0,
      exitCode: 0,
      error: '',
      oomKilled: false,
      startedAt: NEVER,
      finishedAt: NEVER,
      restartCount: 0,
      stoppedByUser: false,
      ...differences.state,
    },
  };
}

/** An image with the given differences. */
export function image(differences: Partial<Image> & { created?: string; labels?: Record<string, string> } = {}): Image {
  return {
    id: `sha256:${'b'.repeat(64)}`,
    config: {
      architecture: 'amd64',
      os: 'linux',
      created: differences.created ?? '2026-01-01T03:04:05Z',
      rootfs: { type: 'layers', diff_ids: [] },
      config: { Labels: differences.labels ?? null },
    },
    layers: [],
    repoTags: ['alpine:3'],
    repoDigests: [],
    size: 7_654_321,
    ...differences,
  };
}
