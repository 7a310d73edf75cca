/**
 * What a build tells while it runs, as typed events: the command line draws them, the library and the service hand them
 * on. A step has a number from 1 on, in the order in which steps start. Types and pure functions only.
 */
import type { LintWarning } from '../images/build/operations.ts';

export type StepOutcome = 'done' | 'cached' | 'error' | 'canceled';

/** `at` is in ms since the build began. */
export type BuildEvent =
  /** a step begins; its name is that of progress: `[build 2/7] RUN make` */
  | {
      type: 'start';
      at: number;
      step: number;
      name: string;
      /** of the Dockerfile, from 1; absent of husk's own */ line?: number;
    }
  /** bytes that a RUN printed, in whatever pieces they came */
  | { type: 'output'; at: number; step: number; stream: 'stdout' | 'stderr'; data: Uint8Array }
  /** a line of husk's own: what is pulled, what was written */
  | { type: 'message'; at: number; step: number; text: string }
  /** bytes of a transfer; `total` is absent where nobody knows it */
  | { type: 'transfer'; at: number; step: number; id: string; text: string; current: number; total?: number }
  | { type: 'end'; at: number; step: number; outcome: StepOutcome; error?: string }
  /** of the lint, or without a rule */
  | { type: 'warning'; at: number; text: string; warning?: LintWarning };

/** Version of the form of `--progress=rawjson` (docs/build.md § rawjson). */
const RAW_VERSION = 1;

/**
 * @returns one line of `--progress=rawjson`, with its end; what a RUN printed is base64, as its bytes may be
 * anything
 */
export function rawJson(event: BuildEvent): string {
  const shown = event.type === 'output' ? { ...event, data: Buffer.from(event.data).toString('base64') } : event;
  return `${JSON.stringify({ version: RAW_VERSION, ...shown, at: Math.round(event.at) })}\n`;
}

/**
 * @param of number of the stage's steps, FROM included
 * @returns `[build 2/7] RUN make`; a stage without a name is `stage-1` where there are several, and nothing else
 */
export function stepName(
  stage: { name: string | undefined; index: number; alone: boolean },
  { number, of, text }: { number: number; of: number; text: string },
): string {
  const name = stage.name ?? (stage.alone ? '' : `stage-${stage.index}`);
  return `[${name === '' ? '' : `${name} `}${number}/${of}] ${text}`;
}
