/**
 * `make bench-vm`: husk's VMM beside QEMU's microvm machine with the same kernel, disks and guest programs, in the same
 * boot of the test host, whose clock counts instructions (figures: 1 instruction = 1 ns); writes the tables into
 * docs/performance.md between their markers. About ten minutes. Arguments choose sections; BENCH_RUNS the repetitions
 * of boots; BENCH_COUNTED=0 takes the wall clock, for a section in which a counted host stands still (then only ratios
 * mean anything).
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundle, copyKoffi } from '../../setup/bundle-file.ts';
import { writePacks } from '../../setup/packs.ts';
import { rehearsalSpec } from '../../src/engine/record/rehearsal-spec.ts';
import { rootDisk } from '../../src/images/erofs/root-disk.ts';
import { makeGitRoot, makeRepository } from './repository.ts';
import { containerSpec } from './spec.ts';
import {
  bootTable,
  containerTable,
  deviceTable,
  forkTable,
  gitTable,
  memoryTable,
  templateTable,
  tenthTable,
  type Fact,
} from './tables.ts';
import { writeSection } from '../report.ts';

const root = join(import.meta.dirname, '../..');
const made = join(root, 'build/bench-vm');
const dist = join(made, 'dist');
/** seconds for a section; an instruction-counted host hangs once in a while. BENCH_LIMIT: more, on a loaded machine */
const LIMIT = Number(process.env['BENCH_LIMIT'] ?? 280);
const TRIES = 2;
const RUNS = process.env['BENCH_RUNS'] ?? '3';
const SECTIONS: Record<string, (facts: Fact[]) => string[]> = {
  boot: bootTable,
  container: containerTable,
  template: templateTable,
  fork: forkTable,
  block: deviceTable,
  vsock: deviceTable,
  fs: deviceTable,
  git: gitTable,
  memory: memoryTable,
  tenth: tenthTable,
};
/** whose facts come last: all others have QEMU beside them */
const LAST: Record<string, Fact['vmm']> = { template: 'template', fork: 'template', tenth: 'template' };
/** of those the wall clock is good enough */
const UNCOUNTED = ['git', 'memory', 'tenth'];
/** these have a program of their own in the test host, which is bench/vmm/inside/<section>.ts */
const ALONE = ['fork', 'memory', 'tenth'];

/** What the test host needs, in one folder that it copies to memory. */
async function prepare(): Promise<void> {
  rmSync(made, { recursive: true, force: true });
  mkdirSync(dist, { recursive: true });
  for (const part of ['husk-init', 'vmlinux', 'agent.erofs', 'writable.disk'])
    copyFileSync(join(root, 'dist', part), join(dist, part));
  copyKoffi(dist);
  await bundle('bench/vmm/inside/devices.ts', join(dist, 'devices.cjs'));
  // as husk's own bundle is started
  await writePacks('bench/vmm/inside/container.ts', dist, {});
  for (const [source, program] of [
    ['guest.c', 'init'],
    ['vsock-peer.c', 'vsock-peer'],
  ] as const)
    execFileSync('gcc', [
      '-static',
      '-O2',
      '-Wall',
      '-Wextra',
      '-Werror',
      '-o',
      join(made, program),
      join(import.meta.dirname, source),
    ]);
  execFileSync('sh', ['-c', 'echo init | cpio -o -H newc --quiet >initrd.cpio'], { cwd: made });
  makeRepository(made);
  makeGitRoot(made, join(made, 'init'));
  execFileSync('sh', ['-c', `${root}/setup/base-tree >layer.tar`], { cwd: made });
  const tar = join(made, 'layer.tar');
  const layer = { diffId: 'sha256:bench', tar, size: statSync(tar).size };
  const disk = await rootDisk([layer], { tmp: join(made, 'tmp') });
  // where they will lie inside
  const parts = disk.map(({ path, offset, length }) => ({ path: path.replace(made, '/tmp/bench'), offset, length }));
  writeFileSync(join(made, 'root.json'), JSON.stringify(parts));
  writeFileSync(join(made, 'spec.json'), JSON.stringify(containerSpec(['echo', 'ready'], '/tmp/bench/etc')));
  writeFileSync(join(made, 'rehearsal.json'), JSON.stringify(rehearsalSpec(release())));
  mkdirSync(join(made, 'etc'));
  for (const file of ['hosts', 'hostname', 'resolv.conf']) writeFileSync(join(made, 'etc', file), 'bench\n');
}

/**
 * One boot of the test host, which is most of the time, for all sections; what a host that hung had not measured is
 * measured once more.
 * @param options.counted instruction by instruction; what is not timed need not be
 */
function measure(program: string, sections: string[], options: { counted: boolean }): Fact[] {
  const out = mkdtempSync(join(tmpdir(), 'husk-bench-vm-'));
  const facts: Fact[] = [];
  const missing = () => sections.filter((section) => !isMeasured(section, facts));
  try {
    for (let attempt = 1; attempt <= TRIES && missing().length > 0; attempt++) {
      const args = [
        ...(options.counted ? ['-i'] : []),
        '-m',
        '4096',
        '-t',
        String(LIMIT * missing().length),
        '--',
        'env',
        `BENCH_RUNS=${RUNS}`,
        process.execPath,
        join(import.meta.dirname, 'inside', program),
        made,
        root,
        ...missing(),
      ];
      const { status } = spawnSync(join(root, 'test/vm-host/run'), args, {
        env: { ...process.env, VMHOST_OUT: out },
        stdio: ['ignore', 'inherit', 'inherit'],
      });
      const file = join(out, 'facts');
      if (existsSync(file))
        facts.push(
          ...readFileSync(file, 'utf8')
            .trim()
            .split('\n')
            .map((line) => JSON.parse(line) as Fact),
        );
      rmSync(file, { force: true });
      if (status !== 0)
        console.error(
          `the test host ended with ${status}${missing().length > 0 ? `; not measured yet: ${missing().join(', ')}` : ''}`,
        );
    }
    return facts;
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
}

function isMeasured(section: string, facts: Fact[]): boolean {
  return facts.some(
    (fact) =>
      fact.section === section && fact.vmm === (LAST[section] ?? 'qemu') && fact.times?.['command'] === undefined,
  );
}

const chosen = process.argv.slice(2);
const missing = ['vmlinux', 'agent.erofs', 'writable.disk'].filter((part) => !existsSync(join(root, 'dist', part)));
if (missing.length > 0) throw new Error(`dist/ has no ${missing.join(', ')}: make vm`);
const wanted = Object.keys(SECTIONS).filter((section) => chosen.length === 0 || chosen.includes(section));
await prepare();
const countable = process.env['BENCH_COUNTED'] !== '0';
const isCounted = (section: string) => countable && !UNCOUNTED.includes(section);
const together = wanted.filter((section) => !ALONE.includes(section));
const timed = together.filter((section) => !UNCOUNTED.includes(section));
const facts = [
  ...(timed.length > 0 ? measure('main.ts', timed, { counted: countable }) : []),
  ...together
    .filter((section) => UNCOUNTED.includes(section))
    .flatMap((s) => measure('main.ts', [s], { counted: false })),
  ...wanted
    .filter((section) => ALONE.includes(section))
    .flatMap((section) => measure(`${section}.ts`, [section], { counted: isCounted(section) })),
];
for (const section of wanted) {
  const own = facts.filter((fact) => fact.section === section);
  if (!isMeasured(section, own)) {
    console.error(`${section}: not measured`);
    process.exitCode = 1;
    continue;
  }
  const lines = SECTIONS[section]!(own);
  console.log(`\n${section}\n${lines.join('\n')}`);
  if (process.env['BENCH_WRITE'] !== '0') writeSection(`vm-${section}`, lines);
}
