/** `husk logs` */
import type { Invocation } from '../command.ts';
import { parseMoment } from '../grammar/moment.ts';

export async function run({ flags, arguments: [name = ''], context }: Invocation): Promise<number> {
  const now = context.now();
  const tail = /^\d+$/.test(flags.string('tail')) ? Number(flags.string('tail')) : undefined;
  const moment = (flag: string): number | undefined => (flags.optional(flag) === undefined ? undefined : parseMoment(flags.string(flag), now));
  const since = moment('since');
  const until = moment('until');
  const timestamps = flags.bool('timestamps');
  const engine = await context.engine();
  for await (const line of engine.logs(name, { follow: flags.bool('follow'), tail, since, until })) {
    const output = line.stream === 'stderr' ? context.stderr : context.stdout;
    // raw by nature: what the process wrote is what is shown
    if (!output.write(timestamps ? `${line.time} ${line.text}` : line.text)) await new Promise<void>((resolve) => output.once('drain', resolve));
  }
  return 0;
}
