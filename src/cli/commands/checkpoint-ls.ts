/** `husk checkpoint ls` */
import { checkpointFolder } from '../checkpoint-folder.ts';
import type { Invocation } from '../grammar/command.ts';
import { writeList } from '../output/format.ts';

export async function run({ flags, arguments: [container = ''], context }: Invocation): Promise<number> {
  const engine = await context.engine();
  const names = await engine.checkpoints(container, { directory: checkpointFolder(flags) });
  writeList(
    names.map((Name) => ({ Name })),
    {
      format: '',
      quiet: false,
      defaultTable: '{{.Name}}',
      quietTemplate: '{{.Name}}',
      raw: { template: '{{.Name}}\n', quiet: '{{.Name}}' },
      headers: { Name: 'CHECKPOINT NAME' },
      rowType: '*checkpoint.checkpointContext',
    },
    context.stdout,
  );
  return 0;
}
