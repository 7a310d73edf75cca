/** `husk wait`: exit codes, one per line, in the order of the arguments. */
import type { Invocation } from '../grammar/command.ts';
import { report } from '../report.ts';

export async function run({ arguments: names, context }: Invocation): Promise<number> {
  const engine = await context.engine();
  const waits = names.map((name) =>
    engine.wait(name).then(
      ({ code }) => ({ code }),
      (error: unknown) => ({ error }),
    ),
  );
  let failed = 0;
  for (const wait of waits) {
    const outcome = await wait;
    if ('code' in outcome) context.stdout.write(`${outcome.code}\n`);
    else failed = report(outcome.error, context) && 1;
  }
  return failed;
}
