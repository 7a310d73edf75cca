/**
 * The one entry of the bundle. A person's command goes to the CLI; husk starts itself again with `--internal NAME` for
 * work that needs a process of its own. Modules are loaded on demand: what a command does not use costs it nothing.
 */
import { INTERNAL } from './program.ts';
import { openTrace } from './trace.ts';

/** Each module exports `main(args): Promise<number>`, the exit code. */
const INTERNAL_PROGRAMS: Record<string, () => Promise<{ main(args: string[]): Promise<number> }>> = {
  supervisor: () => import('./supervisor/main.ts'),
  unpack: () => import('./images/layers/unpack-main.ts'),
  'implied-parents': () => import('./images/layers/parents-main.ts'),
  'check-tree': () => import('./images/layers/check-tree-main.ts'),
  files: () => import('./container/files/main.ts'),
  'volume-copy-up': () => import('./volumes/copy-up.ts'),
};

async function main(argv: string[]): Promise<number> {
  // What husk makes for itself and for containers has the modes it says, as a daemon's would: with 077 the container's
  // root, who is somebody else where root runs husk, could not even reach its layers. What a person asks to have
  // written has a mode of its own (archive-output.ts).
  process.umask(0o022);
  if (argv[0] === INTERNAL) {
    const name = argv[1] ?? '';
    const program = Object.hasOwn(INTERNAL_PROGRAMS, name) ? INTERNAL_PROGRAMS[name] : undefined;
    if (!program) throw new Error(`no internal program "${name}"`);
    try {
      openTrace(`husk ${name}`);
    } catch {
      // the command has told of it; and where this one is root of a user namespace only, the file may be closed to it
    }
    return (await program()).main(argv.slice(2));
  }
  return (await import('./cli/main.ts')).main(argv);
}

// no top-level await: the bundle is CommonJS
void main(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
