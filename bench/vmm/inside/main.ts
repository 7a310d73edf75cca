/**
 * Runs inside the test host, as its root: `main.ts FOLDER ROOT SECTION…`. Copies what is measured to tmpfs, runs each
 * bench under husk and QEMU in turn, and appends a line of JSON for each to $VMHOST_OUT/facts. FOLDER is what
 * bench/vmm/main.ts has made.
 */
import { execFileSync } from 'node:child_process';
import { appendFileSync, cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Home } from './home.ts';
import { MARK_AGENT, MARK_INIT, readMarks, startMarks } from './marks.ts';

const [made, root, ...sections] = process.argv.slice(2) as [string, string, ...string[]];
/** tmpfs; the parts lie in a folder named as the product's, so that src/program.ts finds them */
const FOLDER = '/tmp/bench';
const DIST = join(FOLDER, 'dist');
const ROUNDS = Number(process.env['BENCH_RUNS'] ?? 3);
const SECONDS = 600;
const BESIDE: Record<string, string[]> = { git: ['husk', 'userns', 'qemu'], template: ['husk', 'template'] };

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

const fact = (value: { section: string; vmm: string; [more: string]: unknown }) =>
  appendFileSync(join(process.env['VMHOST_OUT']!, 'facts'), `${JSON.stringify(value)}\n`);

/** The command as a person gives it, until the container's first byte; the first one of each kind is not counted. */
async function measureCommands(section: string): Promise<void> {
  const home = new Home(root, made);
  for (const [vmm, start] of [
    ['husk', 'boot'],
    ['template', 'template'],
  ] as const) {
    home.configure({ 'vm-start': start });
    for (let round = -1; round < ROUNDS; round++) {
      const command = await home.firstOutput(
        'run',
        '--isolation=vm',
        '--network',
        'none',
        'husk/base',
        'echo',
        'ready',
      );
      if (round >= 0) fact({ section, vmm, times: { command }, marks: {} });
      else if (start === 'template') await home.templateMade();
      console.error(`${section}: husk run, ${start}`);
    }
  }
}

function measure(section: string): void {
  const stages = section === 'container' || section === 'template';
  const [entry, args] = stages ? ['husk.cjs', []] : ['devices.cjs', [section]];
  const rounds = stages || section === 'boot' ? ROUNDS : 1;
  if (section === 'template') once(entry, ['make']);
  // one that is not counted: the page cache is cold
  for (let round = stages ? -1 : 0; round < rounds; round++) {
    // what counts a section as measured comes last
    for (const vmm of BESIDE[section] ?? ['husk', 'qemu']) {
      const result = once(entry, [vmm, ...args]);
      if (round >= 0) fact({ section, vmm, ...result });
      console.error(`${section}: ${vmm}`);
    }
  }
}

for (const section of sections) {
  try {
    measure(section);
    if (section === 'template') await measureCommands(section);
  } catch (error) {
    console.error(`${section}: ${(error as Error).message}`);
    process.exitCode = 1;
  }
}
