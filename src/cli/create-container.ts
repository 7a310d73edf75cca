/** What `run` and `create` do alike: create with a pull shown on stderr, warnings, and the --cidfile. */
import { writeFileSync } from 'node:fs';
import { getSystemErrorMessage } from 'node:util';
import { HuskError } from '../errors.ts';
import type { CreateOptions, Engine } from '../engine/contract.ts';
import type { Context } from './command.ts';
import { ProgressDisplay } from './output/progress.ts';
import { printable } from './output/printable.ts';

export async function createContainer(engine: Engine, options: CreateOptions, how: { context: Context; quiet: boolean; cidfile: string | undefined }): Promise<string> {
  const { context } = how;
  const say = (line: string): void => void context.stderr.write(`${printable(line, context.stderr)}\n`);
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
    if (how.cidfile !== undefined) writeCidFile(how.cidfile, id);
    return id;
  } catch (error) {
    display?.end();
    throw error;
  }
}

function writeCidFile(file: string, id: string): void {
  try {
    // wx: another husk may have made it since it was looked for
    writeFileSync(file, id, { flag: 'wx' });
  } catch (error) {
    throw new HuskError(`failed to create the container ID file ${file}: ${getSystemErrorMessage((error as NodeJS.ErrnoException).errno ?? 0)}`, { kind: 'conflict', exitCode: 125, cause: error });
  }
}
