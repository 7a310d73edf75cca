/** `husk rmi` */
import type { Invocation } from '../grammar/command.ts';
import { HuskError } from '../../errors.ts';
import { checkPlatforms } from '../image-platform.ts';
import { printable } from '../output/printable.ts';
import { report } from '../report.ts';

export async function run({ flags, arguments: references, context }: Invocation): Promise<number> {
  const engine = await context.engine();
  const force = flags.bool('force');
  let code = 0;
  for (const reference of references) {
    try {
      await checkPlatforms(flags, engine.images, [reference]);
      const { untagged, deleted } = engine.images.remove(reference, {
        force,
        noPrune: flags.bool('no-prune'),
        inUse: (id) => engine.imageUsers(id),
      });
      const lines = [...untagged.map((name) => `Untagged: ${name}`), ...deleted.map((id) => `Deleted: ${id}`)];
      context.stdout.write(lines.map((line) => `${printable(line, context.stdout)}\n`).join(''));
    } catch (error) {
      report(error, context);
      // `rmi -f` of an image that is not there has reached its goal.
      if (!(force && error instanceof HuskError && error.kind === 'not-found')) code = 1;
    }
  }
  return code;
}
