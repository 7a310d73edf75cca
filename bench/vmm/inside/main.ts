/**
 * Runs inside the test host, as its root: `main.ts FOLDER ROOT SECTION…`. Copies what is measured to tmpfs, runs each
 * bench under husk and QEMU in turn, and appends a line of JSON for each to $VMHOST_OUT/facts. FOLDER is what
 * bench/vmm/main.ts has made.
 */
import { execFileSync } from 'node:child_process';
import { appendFileSync, cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { MARK_AGENT, MARK_INIT, readMarks, startMarks } from './marks.ts';

const [made, , ...sections] = process.argv.slice(2) as [string, string, ...string[]];
/** tmpfs; the parts lie in a folder named as the product's, so that src/program.ts finds them */
const FOLDER = '/tmp/bench';
const DIST = join(FOLDER, 'dist');
const ROUNDS = Number(process.env['BENCH_RUNS'] ?? 3);
const SECONDS = 600;

mkdirSync(FOLDER);
cpSync(made, FOLDER, { recursive: true });
const node = join(FOLDER, 'node');
cpSync(process.execPath, node);

function once(entry: string, args: string[]): Record<string, unknown> {
  startMarks();
  const BENCH_START = String(Number(process.hrtime.bigint()) / 1e6);
  const output = execFileSync(node, ['--disable-warning=ExperimentalWarning', join(DIST, entry), ...args], {
    env: { PATH: process.env['PATH'], BENCH_FOLDER: FOLDER, BENCH_START },
    encoding: 'utf8',
    timeout: SECONDS * 1000,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const { entry: kernel, marks } = readMarks();
  return {
    ...(JSON.parse(output.trim().split('\n').at(-1)!) as object),
    marks: { entry: kernel, init: marks.get(MARK_INIT), agent: marks.get(MARK_AGENT) },
  };
}

function measure(section: string): void {
  const [entry, args] = section === 'container' ? ['husk.cjs', []] : ['devices.cjs', [section]];
  const rounds = section === 'container' || section === 'boot' ? ROUNDS : 1;
  // one that is not counted: the page cache is cold
  for (let round = section === 'container' ? -1 : 0; round < rounds; round++) {
    // what counts a section as measured comes last
    for (const vmm of section === 'git' ? ['husk', 'userns', 'qemu'] : ['husk', 'qemu']) {
      const result = once(entry, [vmm, ...args]);
      if (round >= 0)
        appendFileSync(join(process.env['VMHOST_OUT']!, 'facts'), `${JSON.stringify({ section, vmm, ...result })}\n`);
      console.error(`${section}: ${vmm}`);
    }
  }
}

for (const section of sections) {
  try {
    measure(section);
  } catch (error) {
    console.error(`${section}: ${(error as Error).message}`);
    process.exitCode = 1;
  }
}
