/** `husk manifest rm` */
import type { Invocation } from '../grammar/command.ts';
import { report } from '../report.ts';

export async function run({ arguments: lists, context }: Invocation): Promise<number> {
  const { images } = await context.engine();
  const made = await images.manifestLists();
  let code = 0;
  for (const list of lists) {
    try {
      made.remove(list);
    } catch (error) {
      report(error, context);
      code = 1;
    }
  }
  return code;
}
