/** `husk logs` */
import type { Invocation } from '../grammar/command.ts';
import { logPrefix } from '../../notation/log-prefix.ts';
import { parseMoment } from '../../notation/moments.ts';
import { GatheredLines } from '../output/gathered.ts';

export async function run({ flags, arguments: [name = ''], context }: Invocation): Promise<number> {
  const now = context.now();
  const tail = /^\d+$/.test(flags.string('tail')) ? Number(flags.string('tail')) : undefined;
  const moment = (flag: string): bigint | undefined =>
    flags.optional(flag) === undefined ? undefined : parseMoment(flags.string(flag), now);
  const since = moment('since');
  const until = moment('until');
  const prefix = logPrefix({ timestamps: flags.bool('timestamps'), details: flags.bool('details') });
  const engine = await context.engine();
  const lines = new GatheredLines();
  for await (const line of engine.logs(name, { follow: flags.bool('follow'), tail, since, until })) {
    const output = line.stream === 'stderr' ? context.stderr : context.stdout;
    // The output is not made printable: it is shown as the process wrote it.
    const full = lines.add(
      output,
      line.bytes ? Buffer.concat([Buffer.from(prefix(line)), line.bytes]) : prefix(line) + line.text,
    );
    if (full) await full;
  }
  await lines.flush();
  return 0;
}
