/** `top` by our own code: beside the ps program of this machine, on the same processes; and what it refuses. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import test from 'ava';
import { psColumns, psTable, type Process } from '../../../src/container/processes/ps-format.ts';
import { ps } from '../../../src/container/processes/ps.ts';

/** ps(1) with these options, for these processes, as rows */
function peer(pids: number[], options: string[]): string[][] {
  const lines = execFileSync('ps', options, { encoding: 'utf8', env: { ...process.env, COLUMNS: '1000' } })
    .trimEnd()
    .split('\n');
  const titles = lines[0]!.trim().split(/\s+/);
  const column = titles.indexOf('PID');
  const rows = lines
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => pids.includes(Number(fields[column])));
  return [
    titles,
    ...rows.map((fields) => [...fields.slice(0, titles.length - 1), fields.slice(titles.length - 1).join(' ')]),
  ];
}

/** columns whose values do not change between two looks at a process that sleeps */
const OPTIONS: string[][] = [
  ['-ef'],
  ['aux'],
  ['-e'],
  ['ax'],
  ['-eo', 'pid,ppid,pgid,sid,uid,gid,comm,args'],
  ['-e', '-o', 'pid,s,stat,ni,nlwp,tty,time,vsz,rss,lstart'],
  ['-eo', 'pid=NUMBER,stime', '-o', 'user=WHO'],
  ['-ewwf'],
  ['--format', 'pid,cmd', '-A'],
];

for (const options of OPTIONS) {
  test(`ps ${options.join(' ')}`, async (t) => {
    const child = spawn('sleep', ['1000', '1']);
    await once(child, 'spawn');
    const pid = child.pid!;
    // until it is sleep, asleep
    while (!/\(sleep\) S/.test(execFileSync('cat', [`/proc/${pid}/stat`], { encoding: 'utf8' })))
      await new Promise((after) => setTimeout(after, 10));
    const own = ps([pid], options);
    const [titles, row] = options.join(' ').includes('NUMBER')
      ? [['NUMBER,stime'], undefined]
      : (peer([pid], options) as [string[], string[]]);
    child.kill('SIGKILL');
    if (row === undefined) return t.deepEqual(own.titles, ['NUMBER,stime', 'WHO']);
    t.deepEqual(own.titles, titles);
    const owner = titles!.findIndex((title) => title === 'UID' || title === 'USER');
    // a person's name is this machine's, and husk's rows have the number: of a container's ids it knows no names
    if (owner >= 0 && process.getuid!() !== 0) {
      t.is(own.processes[0]![owner], String(process.getuid!()));
      row[owner] = own.processes[0]![owner]!;
    }
    // a date has spaces, and this parser of ps's output cuts at them
    const plain = (cells: string[]): string =>
      cells
        .map((cell, index) => (titles![index] === '%CPU' || titles![index] === 'C' ? 'as it was' : cell))
        .join(' ')
        .replace(/\s+/g, ' ');
    t.is(plain(own.processes[0]!), plain(row));
  });
}

const REFUSED: [options: string[], named: string][] = [
  [['-M'], '-M'],
  [['-C', 'sleep'], '-C'],
  [['--forest'], '--forest'],
  [['auxf'], 'f'],
  [['-o', 'pid,label'], '-o label'],
  [['-o', 'constructor'], '-o constructor'],
  [['-o'], '-o'],
  [['-eZ'], '-Z'],
];
for (const [options, named] of REFUSED) {
  test(`refused in one line: ${options.join(' ')}`, (t) =>
    void t.throws(() => psColumns(options), {
      message: `ps option "${named}" cannot be served here: there is no ps program beside this container`,
    }));
}

const PROCESS: Process = {
  pid: 7,
  parent: 1,
  group: 7,
  session: 7,
  tty: 0,
  state: 'S',
  command: 'x',
  arguments: [],
  uid: 0,
  gid: 5,
  cpu: 90_061,
  age: 100_000,
  startedAt: Date.parse('2024-03-05T07:08:09'),
  priority: 20,
  nice: 0,
  threads: 1,
  processor: 0,
  virtualBytes: 0,
  residentBytes: 0,
  locked: false,
};
const CELLS: [column: string, change: Partial<Process>, cell: string][] = [
  ['time', {}, '1-01:01:01'],
  ['etime', { age: 61 }, '01:01'],
  ['etime', { age: 7261 }, '02:01:01'],
  ['stime', {}, '2024'],
  ['stime', { startedAt: Date.parse('2026-01-01T07:08:09') }, 'Jan01'],
  ['stime', { startedAt: Date.parse('2026-01-02T07:08:09') }, '07:08'],
  ['tname', { tty: 136 << 8 }, 'pts/0'],
  ['tty', { tty: (137 << 8) | 1 }, 'pts/257'],
  ['tty', { tty: (4 << 8) | 64 }, 'ttyS0'],
  ['c', { cpu: 1e9 }, '99'],
  ['c', { age: 0 }, '0'],
  ['cmd', {}, '[x]'],
  ['cmd', { state: 'Z' }, '[x] <defunct>'],
  ['group', {}, '5'],
];
for (const [column, change, cell] of CELLS)
  test(`${column} ${JSON.stringify(change)}`, (t) =>
    t.is(
      psTable([column], [{ ...PROCESS, ...change }], { now: Date.parse('2026-01-02T12:00:00'), memoryBytes: 1 })
        .processes[0]![0],
      cell,
    ));

test('a process that has ended has no row', (t) => t.deepEqual(ps([0x7fff_fff0], ['-e']).processes, []));
