/** `husk load` */
import { readArchive } from '../archive-input.ts';
import type { Invocation } from '../grammar/command.ts';
import { platformOf } from '../image-platform.ts';
import { printable } from '../output/printable.ts';
import { ProgressDisplay } from '../output/progress.ts';

export async function run({ flags, context }: Invocation): Promise<number> {
  const platform = await platformOf(flags);
  const input = await readArchive(flags.optional('input'), context, 'load');
  const { images } = await context.engine();
  const display = flags.bool('quiet') || !context.stdout.isTTY ? undefined : new ProgressDisplay(context.stdout);
  try {
    const { loaded } = await images.load(input, { platform, onProgress: (progress) => display?.show(progress) });
    display?.end();
    for (const name of loaded)
      context.stdout.write(
        `${printable(name.startsWith('sha256:') ? `Loaded image ID: ${name}` : `Loaded image: ${name}`, context.stdout)}\n`,
      );
    return 0;
  } catch (error) {
    display?.end();
    throw error;
  }
}
