/** `husk logs` */
import type { LogLine } from '../../engine/contract.ts';
import type { Invocation } from '../grammar/command.ts';
import { parseMoment } from '../../notation/moments.ts';
import { GatheredLines } from '../output/gathered.ts';

export async function run({ flags, arguments: [name = ''], context }: Invocation): Promise<number> {
  const now = context.now();
  const tail = /^\d+$/.test(flags.string('tail')) ? Number(flags.string('tail')) : undefined;
  const moment = (flag: string): bigint | undefined =>
    flags.optional(flag) === undefined ? undefined : parseMoment(flags.string(flag), now);
  const since = moment('since');
  const until = moment('until');
  const prefix = prefixOf({ timestamps: flags.bool('timestamps'), details: flags.bool('details') });
  const engine = await context.engine();
  const lines = new GatheredLines();
  for await (const line of engine.logs(name, { follow: flags.bool('follow'), tail, since, until })) {
    const output = line.stream === 'stderr' ? context.stderr : context.stdout;
    // raw by nature: what the process wrote is what is shown
    const full = lines.add(
      output,
      line.bytes ? Buffer.concat([Buffer.from(prefix(line)), line.bytes]) : prefix(line) + line.text,
    );
    if (full) await full;
  }
  await lines.flush();
  return 0;
}

/**
 * The time has all nine digits, so that columns stay; details are encoded as in a query (moby
 * api/server/httputils/write_log_stream.go).
 */
function prefixOf(show: { timestamps: boolean; details: boolean }): (line: LogLine) => string {
  return (line) => {
    const time = show.timestamps ? `${fixedTime(line.time)} ` : '';
    return show.details ? `${time}${details(line.attributes)} ` : time;
  };
}

function fixedTime(time: string): string {
  const [seconds = '', fraction = ''] = time.slice(0, -1).split('.');
  return `${seconds}.${fraction.padEnd(9, '0')}Z`;
}

function details(attributes: Record<string, string> = {}): string {
  return Object.entries(attributes)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map((entry) =>
      entry
        .map((text) =>
          encodeURIComponent(text)
            .replaceAll('%20', '+')
            .replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`),
        )
        .join('='),
    )
    .join(',');
}
