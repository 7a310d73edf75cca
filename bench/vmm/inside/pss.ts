/** Memory of a VMM's process beyond its guest's, from /proc/PID/smaps (proc_pid_smaps(5)). KiB. */
import { readFileSync } from 'node:fs';

export interface Pss {
  /** beyond the guest's RAM */
  own: number;
  guest: number;
  /** the largest parts of `own`, by what they are */
  parts: Record<string, number>;
}

/**
 * @param guestBytes the size of the guest's RAM: its mapping, also where huge page advice or a memfd has split it, lies
 * within one of that length
 */
export function pss(pid: number | 'self', guestBytes: number): Pss {
  const found: Pss = { own: 0, guest: 0, parts: {} };
  let what = '';
  const ram = guestRange(pid, guestBytes);
  for (const line of readFileSync(`/proc/${pid}/smaps`, 'latin1').split('\n')) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \d+\s*(.*)$/.exec(line);
    if (head !== null) {
      const start = parseInt(head[1]!, 16);
      what = ram !== undefined && start >= ram.start && start < ram.end ? 'guest' : nameOf(head[4]!, head[3]!);
      continue;
    }
    const size = /^Pss:\s+(\d+)/.exec(line);
    if (size === null) continue;
    if (what === 'guest') found.guest += Number(size[1]);
    else {
      found.own += Number(size[1]);
      found.parts[what] = (found.parts[what] ?? 0) + Number(size[1]);
    }
  }
  return found;
}

/**
 * The one run of adjacent mappings that is as long as the guest's RAM; of a machine out of a template, pieces of the
 * template's file and of nobody's memory by turns.
 */
function guestRange(pid: number | 'self', bytes: number): { start: number; end: number } | undefined {
  let run: { start: number; end: number; path: string } | undefined;
  for (const line of readFileSync(`/proc/${pid}/maps`, 'latin1').split('\n')) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) rw\S+ \S+ \S+ \d+\s*(.*)$/.exec(line);
    if (head === null) continue;
    const [start, end] = [parseInt(head[1]!, 16), parseInt(head[2]!, 16)];
    const path = TEMPLATE.test(head[3]!) ? '' : head[3]!;
    if (end - start >= bytes) return { start, end };
    run = run?.end === start && run.path === path ? { ...run, end } : { start, end, path };
    if (run.end - run.start >= bytes) return run;
  }
  return undefined;
}

/** a template's memory */
const TEMPLATE = /\/templates\/[0-9a-f]+\/memory\b/;

function nameOf(path: string, mode: string): string {
  if (path === '') return 'anonymous';
  if (path.startsWith('[')) return path;
  const file = path.replace(/^.*\//, '').replace(/ \(deleted\)$/, '');
  return mode.includes('w') ? `${file} data` : `${file} text`;
}
