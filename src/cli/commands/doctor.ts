/**
 * `husk doctor`: what this host can do, with a fix below every row that is not well. The exit code is 1 when containers
 * cannot run.
 */
import type { Engine } from '../../engine/contract.ts';
import type { Invocation } from '../grammar/command.ts';
import { checkFormat, writeList } from '../output/format.ts';
import { printable } from '../output/printable.ts';

type Fact = Awaited<ReturnType<Engine['doctor']>>[number];

const HEADERS = { Status: 'STATUS', Name: 'CHECK', Value: 'FOUND', Fix: 'FIX' };
const MARKS = { ok: 'ok', warn: 'warn', fail: 'FAIL' } as const;
/** SGR colours of ECMA-48: green, yellow, red */
const COLOURS = { ok: '32', warn: '33', fail: '31' } as const;

export async function run({ flags, context }: Invocation): Promise<number> {
  const format = flags.string('format');
  checkFormat(format);
  const facts = await (await context.engine()).doctor();
  if (format !== '') {
    const rows = facts.map(({ status, name, value, fix }) => ({
      Fix: fix ?? '',
      Name: name,
      Status: status,
      Value: value,
    }));
    writeList(
      rows,
      {
        format,
        quiet: false,
        defaultTable: '{{.Status}}\t{{.Name}}\t{{.Value}}\t{{.Fix}}',
        quietTemplate: '{{.Name}}',
        headers: HEADERS,
        rowType: 'doctor',
      },
      context.stdout,
    );
  } else {
    const colour = context.stdout.isTTY === true && context.env['NO_COLOR'] === undefined;
    context.stdout.write(
      printable(facts.map((fact) => row(fact, facts)).join(''), context.stdout, { lines: true }).replace(
        /^(ok|warn|FAIL)(?= )/gm,
        (mark) => (colour ? `\x1b[${COLOURS[mark.toLowerCase() as Fact['status']]}m${mark}\x1b[0m` : mark),
      ),
    );
    const count = (status: Fact['status']): number => facts.filter((fact) => fact.status === status).length;
    context.stdout.write(
      `\n${count('fail') > 0 ? `${count('fail')} to fix before containers can run` : 'containers can run'}${count('warn') > 0 ? `; ${count('warn')} that some of them will miss` : ''}\n`,
    );
  }
  return facts.some((fact) => fact.status === 'fail') ? 1 : 0;
}

function row(fact: Fact, facts: readonly Fact[]): string {
  const names = Math.max(...facts.map(({ name }) => name.length));
  const indent = ' '.repeat(names + 8);
  const line = (text: string): string => text.replaceAll('\n', `\n${indent}`);
  return `${MARKS[fact.status].padEnd(5)} ${fact.name.padEnd(names)}  ${line(fact.value)}\n${fact.fix === undefined ? '' : `${indent}fix: ${line(fact.fix)}\n`}`;
}
