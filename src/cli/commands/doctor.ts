/** `husk doctor`: a table of what this host can do, and below it what to change. Exit status 1 when containers cannot run. */
import type { Invocation } from '../command.ts';
import { parseFormat, writeList } from '../output/format.ts';

const HEADERS = { Status: 'STATUS', Name: 'CHECK', Value: 'FOUND', Fix: 'FIX' };

export async function run({ flags, context }: Invocation): Promise<number> {
  const format = flags.string('format');
  parseFormat(format.replace(/^table /, ''));
  const facts = await (await context.engine()).doctor();
  const rows = facts.map(({ status, name, value, fix }) => ({ Status: status, Name: name, Value: value, Fix: fix ?? '' }));
  writeList(rows, { format, quiet: false, defaultTable: '{{.Status}}\t{{.Name}}\t{{.Value}}', quietTemplate: '{{.Name}}', headers: HEADERS }, context.stdout);
  const toFix = facts.filter(({ fix }) => fix !== undefined);
  if (format === '' && toFix.length > 0) context.stdout.write(`\nTo change it:\n${toFix.map(({ name, fix }) => `  ${name}: ${fix}\n`).join('')}`);
  return facts.some(({ status }) => status === 'fail') ? 1 : 0;
}
