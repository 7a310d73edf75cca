/**
 * Does what ps(1) does: which columns its options ask for, and how a process's figures look in them. The format serves
 * containers in a kernel that has no ps program beside it. Nothing here touches the system. Source of columns and
 * headers: procps-ng 4, ps(1) § Standard format specifiers. A column or option that is not here is refused, never shown
 * wrong.
 */
import { HuskError } from '../../errors.ts';

export interface Process {
  pid: number;
  parent: number;
  group: number;
  session: number;
  /** device number of the process's terminal; 0: none */
  tty: number;
  state: string;
  command: string;
  /** empty for a process without arguments: a kernel's own process, or one that has ended */
  arguments: string[];
  uid: number;
  gid: number;
  /** seconds of CPU time */
  cpu: number;
  /** seconds since the process was started */
  age: number;
  /** ms since the epoch */
  startedAt: number;
  priority: number;
  nice: number;
  threads: number;
  processor: number;
  virtualBytes: number;
  residentBytes: number;
  /** whether the process has locked memory */
  locked: boolean;
}

export interface Machine {
  /** ms since the epoch */
  now: number;
  memoryBytes: number;
}

type Column = (process: Process, machine: Machine) => string;

const COLUMNS: Record<string, { title: string; value: Column }> = {};
const define = (names: string, title: string, value: Column): void => {
  for (const name of names.split(' ')) COLUMNS[name] = { title, value };
};

define('pid', 'PID', ({ pid }) => String(pid));
define('ppid', 'PPID', ({ parent }) => String(parent));
define('pgid pgrp', 'PGID', ({ group }) => String(group));
define('sid sess session', 'SID', ({ session }) => String(session));
define('uid euid', 'UID', ({ uid }) => String(uid));
define('user euser uname', 'USER', ({ uid }) => (uid === 0 ? 'root' : String(uid)));
define('gid egid', 'GID', ({ gid }) => String(gid));
define('group egroup', 'GROUP', ({ gid }) => (gid === 0 ? 'root' : String(gid)));
define('comm ucmd ucomm', 'COMMAND', ({ command }) => command);
define('args command', 'COMMAND', commandLine);
define('cmd', 'CMD', commandLine);
define('s state', 'S', ({ state }) => state);
define(
  'stat',
  'STAT',
  ({ state, nice, session, pid, threads, locked }) =>
    `${state}${nice < 0 ? '<' : nice > 0 ? 'N' : ''}${locked ? 'L' : ''}${session === pid ? 's' : ''}${threads > 1 ? 'l' : ''}`,
);
define('c', 'C', (process) => String(Math.min(99, Math.floor(cpuShare(process) * 100))));
define('pcpu %cpu', '%CPU', (process) => (Math.floor(cpuShare(process) * 1000) / 10).toFixed(1));
define('pmem %mem', '%MEM', ({ residentBytes }, { memoryBytes }) =>
  (Math.floor((residentBytes / memoryBytes) * 1000) / 10).toFixed(1),
);
define('vsz vsize', 'VSZ', ({ virtualBytes }) => String(Math.floor(virtualBytes / 1024)));
define('sz', 'SZ', ({ virtualBytes }) => String(Math.floor(virtualBytes / 4096)));
define('rss rssize rsz', 'RSS', ({ residentBytes }) => String(Math.floor(residentBytes / 1024)));
define('tname', 'TTY', ({ tty }) => terminalName(tty));
define('tty tt', 'TT', ({ tty }) => terminalName(tty));
define('time cputime', 'TIME', ({ cpu }) => cpuTime(cpu));
define('bsdtime', 'TIME', ({ cpu }) => `${Math.floor(cpu / 60)}:${two(Math.floor(cpu % 60))}`);
define('etime', 'ELAPSED', ({ age }) => elapsed(age));
define('etimes', 'ELAPSED', ({ age }) => String(Math.floor(age)));
define('stime', 'STIME', ({ startedAt }, { now }) => startTime(startedAt, now));
define('start_time bsdstart', 'START', ({ startedAt }, { now }) => startTime(startedAt, now));
define('lstart', 'STARTED', ({ startedAt }) => longTime(startedAt));
define('ni nice', 'NI', ({ nice }) => String(nice));
// The priority is that of `-o pri`, where a higher number is better.
define('pri', 'PRI', ({ priority }) => String(39 - priority));
define('nlwp thcount', 'NLWP', ({ threads }) => String(threads));
define('psr', 'PSR', ({ processor }) => String(processor));

/** the columns of `ps -ef`, Docker's choice when no option is given; `ps aux`, `ps -l`, and plain `ps -e` */
const FULL = ['user=UID', 'pid', 'ppid', 'c', 'stime', 'tname', 'time', 'cmd'];
const USER = ['user', 'pid', 'pcpu', 'pmem', 'vsz', 'rss', 'tname', 'stat', 'start_time', 'bsdtime=TIME', 'args'];
const PLAIN = ['pid', 'tname', 'time', 'comm=CMD'];
const BSD = ['pid', 'tname', 'stat', 'bsdtime=TIME', 'args'];

const DEFAULT_OPTIONS = ['-ef'];

/**
 * @returns columns as `name` or `name=title`
 * @throws HuskError `unsupported` naming the option that cannot be served
 */
export function psColumns(options: readonly string[]): string[] {
  const words = options.length > 0 ? [...options] : [...DEFAULT_OPTIONS];
  const own: string[] = [];
  let style = PLAIN;
  while (words.length > 0) {
    const word = words.shift()!;
    if (word === '--format' || word.startsWith('--format=')) {
      own.push(...columnList(word === '--format' ? (words.shift() ?? '') : word.slice('--format='.length)));
      continue;
    }
    if (word.startsWith('--')) throw refused(word);
    const dashed = word.startsWith('-');
    const letters = dashed ? word.slice(1) : word;
    for (let index = 0; index < letters.length; index++) {
      const letter = letters[index]!;
      if (letter === 'o' || letter === 'O') {
        if (letter === 'O') throw refused(dashed ? '-O' : 'O');
        const rest = letters.slice(index + 1);
        own.push(...columnList(rest === '' ? (words.shift() ?? '') : rest));
        break;
      }
      // These letters change nothing: every process of the container is shown anyway, and no line is cut.
      if (dashed ? 'eAw'.includes(letter) : 'axgw'.includes(letter)) {
        if (!dashed && style === PLAIN) style = BSD;
      } else if (dashed && letter === 'f') style = FULL;
      else if (!dashed && letter === 'u') style = USER;
      else throw refused(dashed ? `-${letter}` : letter);
    }
  }
  return own.length > 0 ? own : style;
}

/** @returns the columns of `pid,comm` or `pid comm`; after a `=` all the rest is the title */
function columnList(text: string): string[] {
  const found: string[] = [];
  for (let rest = text.trim(); rest !== '';) {
    const [, name = '', next = ''] = /^([^,\s=]*)([\s\S]*)$/.exec(rest)!;
    if (!Object.hasOwn(COLUMNS, name.toLowerCase())) throw refused(`-o ${name}`);
    if (next.startsWith('=')) return [...found, `${name.toLowerCase()}${next}`];
    found.push(name.toLowerCase());
    rest = next.replace(/^[,\s]+/, '');
  }
  if (found.length === 0) throw refused('-o');
  return found;
}

function refused(option: string): HuskError {
  return new HuskError(`ps option "${option}" cannot be served here: there is no ps program beside this container`, {
    kind: 'unsupported',
    fix: `use -e, -f, a, u, x, w, or -o with some of ${Object.keys(COLUMNS).join(',')}`,
  });
}

export function psTable(
  columns: readonly string[],
  processes: readonly Process[],
  machine: Machine,
): { titles: string[]; processes: string[][] } {
  const parts = columns.map((column) => {
    const equals = column.indexOf('=');
    const { title, value } = COLUMNS[equals === -1 ? column : column.slice(0, equals)]!;
    return { title: equals === -1 ? title : column.slice(equals + 1), value };
  });
  return {
    titles: parts.map(({ title }) => title),
    processes: processes.map((process) => parts.map(({ value }) => value(process, machine))),
  };
}

function commandLine(process: Process): string {
  if (process.arguments.length > 0) return process.arguments.join(' ');
  return process.state === 'Z' ? `[${process.command}] <defunct>` : `[${process.command}]`;
}

function cpuShare({ cpu, age }: Process): number {
  return age > 0 ? cpu / age : 0;
}

/**
 * linux Documentation/admin-guide/devices.txt: Unix98 terminals have majors 136-143; major 4 has the consoles, and ttyS
 * from minor 64 on.
 */
function terminalName(device: number): string {
  if (device === 0) return '?';
  const major = (device >>> 8) & 0xfff;
  const minor = (device & 0xff) | ((device >>> 12) & 0xfff00);
  if (major >= 136 && major <= 143) return `pts/${(major - 136) * 256 + minor}`;
  if (major === 4) return minor < 64 ? `tty${minor}` : `ttyS${minor - 64}`;
  if (major === 5 && minor === 1) return 'console';
  if (major === 229) return `hvc${minor}`;
  return '?';
}

const two = (value: number): string => String(value).padStart(2, '0');

/** @returns [dd-]hh:mm:ss */
function cpuTime(seconds: number): string {
  const days = Math.floor(seconds / 86_400);
  return `${days > 0 ? `${days}-` : ''}${two(Math.floor(seconds / 3600) % 24)}:${two(Math.floor(seconds / 60) % 60)}:${two(Math.floor(seconds) % 60)}`;
}

/** @returns [[dd-]hh:]mm:ss */
function elapsed(seconds: number): string {
  const text = cpuTime(seconds);
  return seconds < 3600 ? text.slice(3) : text;
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];

/** @returns the time for a moment of today, the day for one of this year, else the year */
function startTime(ms: number, now: number): string {
  const [then, today] = [new Date(ms), new Date(now)];
  if (then.toDateString() === today.toDateString()) return `${two(then.getHours())}:${two(then.getMinutes())}`;
  return then.getFullYear() === today.getFullYear()
    ? `${MONTHS[then.getMonth()]}${two(then.getDate())}`
    : String(then.getFullYear());
}

function longTime(ms: number): string {
  const then = new Date(ms);
  return `${DAYS[then.getDay()]} ${MONTHS[then.getMonth()]} ${String(then.getDate()).padStart(2)} ${two(then.getHours())}:${two(then.getMinutes())}:${two(then.getSeconds())} ${then.getFullYear()}`;
}
