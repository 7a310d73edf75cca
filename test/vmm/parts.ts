/** Where this checkout is, and what tests of whole VM containers need of it. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));
const PARTS = ['husk-init', 'husk-launch', 'husk.cjs', 'vmlinux', 'agent.erofs', 'writable.disk'].map(
  (name) => `${root}dist/${name}`,
);
/** a small root file system as a tar: made out here, because what is written in the test host is gone with it */
export const BASE = `${root}build/base.tar`;
/**
 * Makes a file once. Test files run side by side and their test hosts read what is there: nobody sees half of
 * it. @param script writes it to "$1"
 */
export function makeOnce(path: string, script: string): void {
  if (existsSync(path)) return;
  mkdirSync(dirname(path), { recursive: true });
  const own = `${path}.${process.pid}`;
  execFileSync('sh', ['-ec', script, 'sh', own], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  renameSync(own, path);
}

const UNIX_CLIENT_SOURCE = `${root}test/vmm/guest/unix-client.c`;
/** test/vmm/guest/unix-client.c, compiled; by its content, as it may be in use */
export const UNIX_CLIENT = `${root}build/test-vmm/unix-client-${createHash('sha256')
  .update(readFileSync(UNIX_CLIENT_SOURCE))
  .digest('hex')
  .slice(0, 16)}`;

export const makeUnixClient = (): void =>
  makeOnce(UNIX_CLIENT, `gcc -static -O1 -Wall -Wextra -Werror -o "$1" '${UNIX_CLIENT_SOURCE}'`);

/** For tests of whole containers. @returns why there can be none here; the image's tar is made otherwise */
export function missingParts(): string | undefined {
  const missing = PARTS.filter((path) => !existsSync(path));
  if (missing.length > 0) return `needs ${missing.join(', ')} (make vm)`;
  makeOnce(BASE, 'setup/base-tree >"$1"');
  return undefined;
}

/** Files of tests that boot many machines, minutes each in the test host. @returns why not, if so */
export function notWanted(): string | undefined {
  return process.env['HUSK_TEST_VM'] === '0' ? 'HUSK_TEST_VM=0 leaves out minutes of booting machines' : undefined;
}

/**
 * Those that CI has no time for beside the others. @returns why not by itself, if so; inside the test host it was asked
 * for
 */
export function notByItself(): string | undefined {
  return process.env['HUSK_TEST_VM'] === '1' || process.env['VMHOST'] === '1'
    ? undefined
    : 'four to seven minutes of booting machines: HUSK_TEST_VM=1 runs it';
}
