/**
 * What a commit has, as far as it matters before git makes an archive of it: how much it is, and which other
 * repositories lie in it. All of it is a stranger's.
 */
import { HuskError } from '../../../errors.ts';
import { BLOCK, MAX_ENTRIES } from '../../../tar/entry.ts';
import { git, startGit, type GitOptions } from './git-program.ts';

/** of one build's repository, all levels together */
export const MAX_SUBMODULES = 100;
export const MAX_DEPTH = 10;
/** bytes of .gitmodules, and characters of a name in a list of names */
const MAX_GITMODULES = 1 << 20;
const MAX_LINE = 1 << 20;
/** of git: a submodule's entry in a tree, and files */
const GITLINK = '160000';
const FILE_MODES = ['100644', '100755'];
/** In a line of a list of names: one that git makes in no working tree, in any case of letters (CVE-2014-9390). */
const OWN_FOLDER = /[\t/]\.git(?:\/|$)/i;

interface TreeEntry {
  mode: string;
  id: string;
  path: string;
}

export interface Submodule {
  path: string;
  commit: string;
  /** as .gitmodules has it */
  url: string | undefined;
}

/** @returns the submodules of a commit @throws HuskError `corrupt`, `limit`; also where none are wanted */
export async function submodulesOf(
  own: GitOptions,
  commit: string,
  { wanted }: { wanted: boolean },
): Promise<Submodule[]> {
  const { links, gitmodules: at } = await listTree(own, commit);
  if (!wanted) return [];
  // A link would show git another file than the tree has (CVE-2018-11235 and its kin).
  if (at && !FILE_MODES.includes(at.mode))
    throw new HuskError('.gitmodules of the repository is no file', { kind: 'corrupt' });
  if (links.length === 0) return [];
  if (links.length > MAX_SUBMODULES) throw tooManySubmodules();
  const urls = at ? await urlsIn(own, at.id) : new Map<string, string>();
  return links.map(({ path, id }) => {
    // A name that is no UTF-8 cannot be told from others here.
    if (path.split('/').some((name) => /^(?:\.{0,2}|\.git)$/i.test(name)) || /^-|\ufffd/.test(path))
      throw new HuskError(`a submodule of the repository has the path ${JSON.stringify(path.slice(0, 200))}`, {
        kind: 'corrupt',
      });
    return { path, commit: id, url: urls.get(path) };
  });
}

/** @returns the URLs of a .gitmodules by their paths */
async function urlsIn(own: GitOptions, id: string): Promise<Map<string | undefined, string | undefined>> {
  const size = Number(await git(['cat-file', '-s', id], own));
  if (size > MAX_GITMODULES)
    throw new HuskError(`.gitmodules has more than ${MAX_GITMODULES} bytes`, { kind: 'limit' });
  const settings = settingsOf(await git(['config', '--blob', id, '--no-includes', '-z', '--list'], own));
  return new Map([...settings.values()].map(({ path, url }) => [path, url]));
}

/**
 * Looks through all that a commit has, before git makes a list of it in memory: a few objects can be a tree without
 * an end, each of whose folders is the same one. A folder `.git` in a tree is refused: an archive would have it, and
 * whatever asks git about the files later would run the hooks and settings in it.
 */
async function listTree(
  own: GitOptions,
  commit: string,
): Promise<{ links: TreeEntry[]; gitmodules: TreeEntry | undefined }> {
  const { stdout, ended, kill } = startGit(['ls-tree', '-r', '-t', '-z', '--full-tree', commit], own);
  const most = Math.min(MAX_ENTRIES, own.maxSize / BLOCK);
  const links: TreeEntry[] = [];
  let gitmodules: TreeEntry | undefined;
  let rest = '';
  let count = 0;
  for await (const chunk of stdout.setEncoding('utf8') as AsyncIterable<string>) {
    const end = chunk.lastIndexOf('\0');
    const whole = end === -1 ? '' : rest + chunk.slice(0, end);
    rest = end === -1 ? rest + chunk : chunk.slice(end + 1);
    if (whole !== '')
      for (const line of whole.split('\0')) {
        count++;
        if (OWN_FOLDER.test(line))
          throw new HuskError(
            `the repository has files that git checks out nowhere: ${JSON.stringify(line.slice(line.indexOf('\t') + 1).slice(0, 200))}`,
            { kind: 'corrupt' },
          );
        const entry = line.startsWith(GITLINK) || line.endsWith('\t.gitmodules') ? entriesOf(line)[0] : undefined;
        if (entry?.path === '.gitmodules') gitmodules = entry;
        if (entry?.mode === GITLINK && links.length <= MAX_SUBMODULES) links.push(entry);
      }
    if (count > most || rest.length > MAX_LINE) {
      kill();
      throw new HuskError(`the repository has more files than fit into ${own.maxSize} bytes`, {
        kind: 'limit',
        fix: 'if it is to be trusted, set "max-layer-size" in the config',
      });
    }
  }
  await ended;
  return { links, gitmodules };
}

export const tooManySubmodules = (): HuskError =>
  new HuskError(`the repository has more than ${MAX_SUBMODULES} submodules, or ${MAX_DEPTH} levels of them`, {
    kind: 'limit',
  });

/** Lines of `git ls-tree -z`: `MODE TYPE ID<tab>PATH`. */
export const entriesOf = (text: string): TreeEntry[] =>
  text.split('\0').flatMap((line) => {
    const [, mode, id, path] = /^(\d{6}) [a-z]+ ([0-9a-f]{40,64})\t(.*)$/s.exec(line) ?? [];
    return mode === undefined ? [] : [{ mode, id: id!, path: path! }];
  });

/** Paths and URLs by the names of submodules, of `git config -z --list`: `submodule.NAME.KEY<line feed>VALUE`. */
export function settingsOf(text: string): Map<string, { path?: string; url?: string }> {
  const found = new Map<string, { path?: string; url?: string }>();
  for (const line of text.split('\0')) {
    const [, name, key, value] = /^submodule\.(.+)\.(path|url)\n(.*)$/s.exec(line) ?? [];
    if (name === undefined) continue;
    const settings = found.get(name) ?? {};
    settings[key as 'path' | 'url'] = value!;
    found.set(name, settings);
  }
  return found;
}
