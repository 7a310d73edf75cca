/** Creates a container for `run` and `create`, with the pull shown on stderr, warnings, and the --cidfile. */
import type { CreateOptions, Engine } from '../engine/contract.ts';
import { openCidFile } from './cid-file.ts';
import type { Context } from './grammar/command.ts';
import { ProgressDisplay } from './output/progress.ts';
import { printable } from './output/printable.ts';

export async function createContainer(
  engine: Engine,
  options: CreateOptions,
  how: { context: Context; quiet: boolean; cidfile: string | undefined },
): Promise<string> {
  const { context } = how;
  const say = (line: string): void => void context.stderr.write(`${printable(line, context.stderr)}\n`);
  using cidFile = how.cidfile === undefined ? undefined : openCidFile(how.cidfile);
  let display: ProgressDisplay | undefined;
  try {
    const { id, warnings } = await engine.create(options, {
      onMessage: (line) => {
        if (!how.quiet) say(line);
      },
      onProgress: (progress) => {
        if (!how.quiet) (display ??= new ProgressDisplay(context.stderr)).show(progress);
      },
    });
    display?.end();
    for (const warning of warnings) say(`WARNING: ${warning}`);
    cidFile?.write(id);
    return id;
  } catch (error) {
    display?.end();
    throw error;
  }
}
