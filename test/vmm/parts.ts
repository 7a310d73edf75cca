/** Where this checkout is, and what tests of whole VM containers need of it. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));
const PARTS = ['husk-init', 'husk-launch', 'husk.cjs', 'vmlinux', 'agent.erofs', 'writable.disk'].map((name) => `${root}dist/${name}`);
/** a small root file system as a tar: made out here, because what is written in the test host is gone with it */
export const BASE = `${root}build/base.tar`;
/** For tests of whole containers. @returns why there can be none here; the image's tar is made otherwise */
export function missingParts(): string | undefined {
  const missing = PARTS.filter((path) => !existsSync(path));
  if (missing.length > 0) return `needs ${missing.join(', ')} (make vm)`;
  if (!existsSync(BASE)) {
    mkdirSync(`${root}build`, { recursive: true });
    execFileSync('sh', ['-c', 'setup/base-tree >build/base.tar.new && mv build/base.tar.new build/base.tar'], { cwd: root });
  }
  return undefined;
}

/** Files of tests that boot many machines, minutes each in the test host. @returns why not, if so */
export function notWanted(): string | undefined {
  return process.env['HUSK_TEST_VM'] === '0' ? 'HUSK_TEST_VM=0 leaves out minutes of booting machines' : undefined;
}

/** Those that CI has no time for beside the others. @returns why not by itself, if so; inside the test host it was asked for */
export function notByItself(): string | undefined {
  return process.env['HUSK_TEST_VM'] === '1' || process.env['VMHOST'] === '1' ? undefined : 'four to seven minutes of booting machines: HUSK_TEST_VM=1 runs it';
}
