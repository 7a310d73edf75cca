/**
 * What nearly every start needs, done while the supervisor waits to be told which container: the launcher starts it beside the command, and
 * it is idle until the command has written the record. Nothing here has an effect outside this process.
 */
import { release } from 'node:os';
import { DEFAULT_CAPABILITIES } from '../container/capabilities.ts';
import { compileSeccomp } from '../container/seccomp/compile.ts';
import { seccompFor } from '../container/seccomp/profile.ts';

export async function warmUp(): Promise<void> {
  process.getBuiltinModule('node:sqlite');
  await Promise.all([import('../rootless/sandbox.ts'), import('../images/layers/unpack.ts')]);
  // the compiler keeps its last result: the default profile with the default capabilities is what most containers have
  compileSeccomp(seccompFor(undefined, { capabilities: DEFAULT_CAPABILITIES, kernel: release(), privileged: false })!);
  const { idMaps } = await import('../rootless/idmap.ts');
  idMaps();
}
