/** `husk diff` */
import type { Invocation } from '../grammar/command.ts';
import { printable } from '../output/printable.ts';

export async function run({ arguments: [name = ''], context }: Invocation): Promise<number> {
  const engine = await context.engine();
  for (const { kind, path } of await engine.changes(name))
    context.stdout.write(`${printable(`${kind} ${path}`, context.stdout)}\n`);
  return 0;
}
