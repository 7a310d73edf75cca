/** Makes dist/types: the declarations of the library (src/library/husk.ts), and of what they name of other rooms. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, normalize } from 'node:path';

const root = join(import.meta.dirname, '..');
const target = join(root, 'dist/types');
const ENTRY = 'library/husk.d.ts';
const all = mkdtempSync(join(tmpdir(), 'husk-types-'));
const options =
  '--ignoreConfig --declaration --emitDeclarationOnly --target esnext --lib esnext --module nodenext --moduleResolution nodenext --types node --strict --skipLibCheck --allowImportingTsExtensions --verbatimModuleSyntax';
execFileSync(
  join(root, 'node_modules/.bin/tsc'),
  [join(root, 'src/library/husk.ts'), ...options.split(' '), '--rootDir', join(root, 'src'), '--outDir', all],
  { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] },
);

rmSync(`${target}.new`, { recursive: true, force: true });
const taken = new Set<string>();
/** only what can be reached: the compiler writes one for every file it has read */
function take(file: string): void {
  if (taken.has(file)) return;
  taken.add(file);
  const text = readFileSync(join(all, file), 'utf8');
  // as a program's own compiler resolves them: x.js is declared by x.d.ts
  const resolvable = text.replace(/((?:from|import)\s*\(?\s*'\.[^']+)\.ts'/g, "$1.js'");
  mkdirSync(dirname(join(`${target}.new`, file)), { recursive: true });
  writeFileSync(join(`${target}.new`, file), resolvable);
  for (const [, path] of text.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)\.ts'/g))
    take(`${normalize(join(dirname(file), path!))}.d.ts`);
}
take(ENTRY);
rmSync(target, { recursive: true, force: true });
renameSync(`${target}.new`, target);
rmSync(all, { recursive: true });
