/**
 * Many machines go on from one template, one after the other. In one process that lives on, until the agent has taken
 * its orders: they leave no open file, thread, mapping or memory, and the template is byte for byte what it was. And a
 * tenth as many as containers, whose own processes, mounts, cgroups and files go with them. HUSK_RESUMES=500 is the
 * long run; in the test host, beside nothing else, one in the process takes about a second.
 */
import { createHash } from 'node:crypto';
import { createReadStream, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import test from 'ava';
import { AGENT_DISK, GUEST_KERNEL, WRITABLE_DISK } from '../../src/program.ts';
import { assembleMachine } from '../../src/vmm/sandbox/assemble.ts';
import { Guest } from '../../src/vmm/sandbox/guest.ts';
import { makeTemplate } from '../../src/vmm/sandbox/template.ts';
import { readState } from '../../src/vmm/snapshot/machine-state.ts';
import { unpackSparse } from '../../src/vmm/sparse-template.ts';
import { listTemplates } from '../../src/vmm/templates/folder.ts';
import type { MachineShape } from '../../src/vmm/templates/shape.ts';
import { Home } from './home.ts';
import { missingParts, onKvmHost } from './kvm-host.ts';
import { census, holdings, leaks, once } from './leaks.ts';

const RESUMES = Number(process.env['HUSK_RESUMES'] ?? 0);
/** as containers: an even number, because `once` stops every second one */
const STARTS = 2 * Math.ceil(RESUMES / 20);
/** the first ones fill what is made once: compiled code, V8's heap */
const FIRST = 3;
/** of the pool of libuv, which it makes as it needs them */
const POOL_THREADS = 4;
/** KiB that a resume may leave: V8's heap grows a little until it is collected */
const KIB_EACH = 32;
const KIB_ONCE = 24 * 1024;
const MIB = 1 << 20;
/** for both tests; a machine of a test host that is itself on a busy one takes its time */
const SECONDS = 900 + 5 * RESUMES + 60 * STARTS;
const SHAPE: MachineShape = { memory: 256 * MIB, cpus: 1, images: 0, mtus: [], hasShares: false };

const missing =
  missingParts() ?? (RESUMES > 0 ? undefined : 'a second for each in the test host: HUSK_RESUMES=500 runs it');
if (missing !== undefined) test.skip(missing, () => {});
else await onKvmHost(import.meta.url, register, { seconds: SECONDS, env: { HUSK_RESUMES: String(RESUMES) } });

function register(): void {
  test.serial(`${RESUMES} resumes of one template leave nothing in a process that lives on`, async (t) => {
    t.timeout(SECONDS * 1000);
    const folder = mkdtempSync(join(tmpdir(), 'husk-resumes-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const [share, state, memory, writable] = ['share', 'state', 'memory', 'writable'].map((name) =>
      join(folder, name),
    ) as [string, string, string, string];
    const parts = { kernel: GUEST_KERNEL, agentDisk: AGENT_DISK };
    mkdirSync(share);
    await makeTemplate(SHAPE, { parts, share, state, memory });
    unpackSparse(WRITABLE_DISK, writable);
    const before = [await digest(state), await digest(memory)];

    const resume = async () => {
      const ends: unknown[] = [];
      const guest = new Guest(
        (hooks) =>
          assembleMachine(
            { rootfs: { kind: 'disk', root: [], writable }, images: [], spec: { linux: { namespaces: [] } } },
            {
              parts,
              size: SHAPE,
              sameIds: true,
              interfaces: [],
              template: { state: readState(state), memory },
            },
            { ...hooks, hasShares: false },
          ),
        { onNotice: () => {}, onEnd: (error) => ends.push(error) },
        { serves: true },
      );
      await guest.boot({ shares: false, files: [] }, {});
      await guest.end();
      t.deepEqual(ends, [undefined]);
    };

    for (let i = 0; i < FIRST; i++) await resume();
    const first = { ...holdings(process.pid), mappings: mappings() };
    const began = performance.now();
    for (let i = 0; i < RESUMES; i++) await resume();
    const seconds = (performance.now() - began) / 1000;
    const last = { ...holdings(process.pid), mappings: mappings() };
    t.log(`${RESUMES} resumes in ${Math.round(seconds)} s`, JSON.stringify({ first, last }));
    t.true(last.files <= first.files, 'open files');
    t.true(last.threads - first.threads <= Math.min(POOL_THREADS, RESUMES - 1), 'threads');
    // V8 maps its heap in pieces
    t.true(last.mappings - first.mappings < 64 + RESUMES / 4, 'mappings');
    t.true(last.residentKib - first.residentKib < KIB_ONCE + KIB_EACH * RESUMES, 'memory');
    t.deepEqual(readdirSync(folder).sort(), ['memory', 'share', 'state', 'writable']);
    t.deepEqual([await digest(state), await digest(memory)], before);
  });

  test.serial(`${STARTS} containers out of one template leave no process, file, mount, cgroup or memory`, async (t) => {
    t.timeout(SECONDS * 1000);
    const home = new Home();
    home.configure({ 'vm-start': 'template' });
    try {
      // The census waits for the maker of the template, and what is started next goes on from it.
      await once(home, 0);
      await census(home);
      await once(home, 1);
      const [template, ...others] = listTemplates(home.path('data/husk/templates'));
      t.deepEqual(others, []);
      const before = await census(home);
      for (let i = 0; i < STARTS; i++) await once(home, i);
      t.deepEqual(leaks(before, await census(home), STARTS), []);
      const [used, ...more] = listTemplates(home.path('data/husk/templates'));
      t.deepEqual(more, []);
      t.is(used!.key, template!.key);
      t.true(used!.lastUsed > template!.lastUsed, 'they booted');
    } finally {
      t.deepEqual(await home.end(), []);
    }
  });
}

async function digest(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}

const mappings = () => readFileSync('/proc/self/maps', 'latin1').split('\n').length;
