/**
 * The one entry of the bundle. A user's command goes to the CLI; husk starts itself again with `--internal NAME` for
 * work that needs a process of its own. Modules are loaded on demand, so that a command does not pay for what it does
 * not use.
 */
import { INTERNAL } from './program.ts';
import { openTrace } from './trace.ts';

/** Each module exports `main(args): Promise<number>`, which returns the exit code. */
const INTERNAL_PROGRAMS: Record<string, () => Promise<{ main(args: string[]): Promise<number> }>> = {
  supervisor: () => import('./supervisor/main.ts'),
  'build-machine': () => import('./supervisor/build/main.ts'),
  template: () => import('./supervisor/template.ts'),
  unpack: () => import('./images/layers/unpack-main.ts'),
  'implied-parents': () => import('./images/layers/parents-main.ts'),
  'check-tree': () => import('./images/layers/check-tree-main.ts'),
  seal: () => import('./images/layers/seal-main.ts'),
  files: () => import('./container/files/main.ts'),
  fetch: () => import('./engine/build/fetch/main.ts'),
  warden: () => import('./network/warden/main.ts'),
  'volume-copy-up': () => import('./volumes/copy-up.ts'),
};

async function main(argv: string[]): Promise<number> {
  // Files that husk makes for itself and for containers get exactly the modes that the code names, as from a daemon:
  // with umask 077 the container's root, who is another user where root runs husk, could not even reach its layers.
  // Files that a user asks for have a mode of their own (archive-output.ts).
  process.umask(0o022);
  if (argv[0] === INTERNAL) {
    const name = argv[1] ?? '';
    const program = Object.hasOwn(INTERNAL_PROGRAMS, name) ? INTERNAL_PROGRAMS[name] : undefined;
    if (!program) throw new Error(`no internal program "${name}"`);
    try {
      openTrace(`husk ${name}`);
    } catch {
      // The command has reported the failure already; and where this process is root only of a user namespace, the file
      // may be closed to it.
    }
    return (await program()).main(argv.slice(2));
  }
  return (await import('./cli/main.ts')).main(argv);
}

// Nothing is left to do and everything is written at that point. Node would only take V8's heap apart, piece by piece,
// which costs a twelfth of its own start and which the kernel does at once.
process.once('beforeExit', () => process.exit());
// There is no top-level await here, because the bundle is CommonJS.
void main(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
