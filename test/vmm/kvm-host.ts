/**
 * Where tests that need a real KVM run: here, when this machine's runs guests at hardware speed or is the test host
 * itself; otherwise the whole test file runs again inside test/vm-host, and the outer run shows its output as one test.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';
import { hostFailed } from '../fixtures/host-trouble.ts';
import { USER_NAME } from '../fixtures/user.ts';
import { vmStartEnvironment } from '../fixtures/vm-start.ts';
import { measureKvm } from '../../src/vmm/boot/probe.ts';
import { BASE, makeOnce, missingParts, notByItself, notWanted, root } from './parts.ts';

export { BASE, missingParts, notByItself, notWanted, root };

/** made by `make dist/vmlinux` or guest/kernel-config/build.sh */
export const KERNEL = `${root}dist/vmlinux`;
const GUEST = ['init.c', 'features.c', 'features.h', 'snapshot.c'].map((name) => `${root}test/vmm/guest/${name}`);
/**
 * the test guest's initramfs, made out of test/vmm/guest/; in build/, which the test host sees read-only. Named by
 * content: it is never changed while somebody reads it
 */
export const INITRD = `${root}build/test-vmm/initrd-${createHash('sha256')
  .update(GUEST.map((path) => readFileSync(path, 'utf8')).join())
  .digest('hex')
  .slice(0, 16)}.cpio`;
/** Writes INITRD to "$1" */
const MAKE_INITRD = `mkdir -p "$1.d"; gcc -static -O2 -Wall -Wextra -Werror -o "$1.d/init" ${GUEST.filter((path) =>
  path.endsWith('.c'),
)
  .map((path) => `'${path}'`)
  .join(' ')}
  (cd "$1.d" && echo init | cpio -o -H newc --quiet) >"$1"; rm -r "$1.d"`;
/** seconds for a file of tests in the test host: only for what hangs, and many times what a free machine needs */
const TIME_LIMIT = Number(process.env['HUSK_TEST_SECONDS'] ?? 3000);

const insideTestHost = process.env['VMHOST'] === '1';

/** An ordinary user runs ava in the test host, and writes what ava keeps of a run. */
function openCache(): void {
  const cache = join(root, 'node_modules/.cache/ava');
  mkdirSync(cache, { recursive: true });
  if (statSync(cache).uid === process.getuid!()) chmodSync(cache, 0o777);
}

async function fit(): Promise<boolean> {
  try {
    return (await measureKvm()).fit;
  } catch {
    return false;
  }
}

function run(
  command: string,
  args: string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    execFile(command, args, { cwd: root, env, maxBuffer: 16 * 1024 * 1024 }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? 1) || 1, output: stdout + stderr }),
    );
  });
}

/** @returns why the guest cannot be made here, if so */
async function prepareGuest(): Promise<string | undefined> {
  if (!existsSync(KERNEL)) {
    const cached = await run('guest/kernel-config/build.sh', ['--cached']);
    if (cached.code !== 0)
      return 'the guest kernel is not built (guest/kernel-config/build.sh dist/vmlinux, 11 minutes of CPU)';
    await run('guest/kernel-config/build.sh', [KERNEL]);
  }
  makeOnce(INITRD, MAKE_INITRD);
  return undefined;
}

/**
 * @param url the test file's import.meta.url
 * @param register declares the tests; called only where they can run
 * @param options.cpus of the test host
 * @param options.seconds for all of it, where the file needs more than others
 * @param options.env what was made out here for the tests inside
 * @param options.inTestHost always there: its addresses stand for the world
 */
export async function onKvmHost(
  url: string,
  register: () => void,
  options: { cpus?: number; seconds?: number; env?: Record<string, string>; inTestHost?: boolean } = {},
): Promise<void> {
  const problem = insideTestHost ? undefined : await prepareGuest();
  if (problem !== undefined) {
    test.skip(`needs the test guest: ${problem}`, () => {});
    return;
  }
  if (insideTestHost || (options.inTestHost !== true && (await fit()))) {
    register();
    return;
  }
  const file = relative(root, fileURLToPath(url));
  test(`in the test host: ${file}`, async (t) => {
    const seconds = Math.max(TIME_LIMIT, options.seconds ?? 0);
    t.timeout(2 * (seconds + 60) * 1000);
    openCache();
    const once = () =>
      run('test/vm-host/run', [
        '-c',
        String(options.cpus ?? 1),
        '-t',
        String(seconds),
        '-u',
        USER_NAME,
        '--',
        'env',
        `PATH=${process.env['PATH']}`,
        ...vmStartEnvironment,
        ...Object.entries(options.env ?? {}).map(([name, value]) => `${name}=${value}`),
        'ava',
        '--serial',
        ...(process.env['HUSK_TEST_MATCH'] === undefined ? [] : ['--match', process.env['HUSK_TEST_MATCH']]),
        file,
      ]);
    let ended = await once();
    if (hostFailed(ended)) {
      t.log('the test host itself failed; once more', ended.output);
      ended = await once();
    }
    const { code, output } = ended;
    t.log(output);
    t.is(code, 0);
  });
}
