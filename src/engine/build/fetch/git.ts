/**
 * Fetches a repository, in the program that does so for a build, and gives the files of one commit as a tar. There is
 * no working tree: git never writes a file of a stranger's name, follows no link and runs no filter, and the tar goes
 * through the same reader as any stranger's. Submodules are repositories of their own, whose tars are put below their
 * paths.
 */
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HuskError } from '../../../errors.ts';
import { isCommit, redacted, submoduleUrl, type GitTransport } from '../../../images/build/remote/git-url.ts';
import { TAR_END } from '../../../tar/write.ts';
import { archivePart } from './archive.ts';
import type { FetchJob } from './frames.ts';
import { gitFolder } from './git-folder.ts';
import { git, startGit, type GitOptions } from './git-program.ts';
import { MAX_DEPTH, MAX_SUBMODULES, submodulesOf, tooManySubmodules, type Submodule } from './git-tree.ts';
import type { Sink } from './http.ts';

export interface GitPlace {
  /** folder that is written to */
  work: string;
  /** variables for ssh */
  env?: Record<string, string>;
}

/** begins the names of the folders of bare repositories */
const REPOSITORY = 'repository-';

type GitJob = Extract<FetchJob, { kind: 'git' }>;
type Remote = { repository: string; transport: GitTransport };

/**
 * @param go asked once the commit is known: whether its files are wanted
 * @throws HuskError
 */
export async function fetchGit(
  job: GitJob,
  sink: Sink,
  { go, place }: { go: () => Promise<boolean>; place: GitPlace },
): Promise<void> {
  const fetcher = new GitFetcher(job, sink, place);
  const wanted = await fetcher.resolve(job, job.ref);
  await sink.say({ type: 'commit', commit: wanted.commit });
  if (!(await go())) return;
  await fetcher.files(job, wanted, { subdir: job.subdir, prefix: '', depth: 0 });
  await sink.data(TAR_END);
}

interface Wanted {
  commit: string;
  /** by which the server knows it; absent for a commit */
  name?: string;
}

class GitFetcher {
  readonly #job: GitJob;
  readonly #sink: Sink;
  readonly #place: GitPlace;
  #repositories = 0;

  constructor(job: GitJob, sink: Sink, place: GitPlace) {
    this.#job = job;
    this.#sink = sink;
    this.#place = place;
  }

  #options(remote?: Remote, repository?: string): GitOptions {
    const { maxSize, userAgent, auth } = this.#job;
    return {
      maxSize,
      userAgent,
      ...(auth && remote && { auth }),
      ...(this.#place.env && { env: this.#place.env }),
      ...(repository !== undefined && { repository }),
      // A redirect may lead from http to https, and never back.
      ...(remote && { transports: remote.transport === 'http' ? ['http', 'https'] : [remote.transport] }),
    };
  }

  /** @returns the commit that a ref means there: a branch before a tag of the same name, as git's checkout has it */
  async resolve(remote: Remote, ref: string | undefined): Promise<Wanted> {
    if (ref !== undefined && isCommit(ref)) return { commit: ref };
    const names =
      ref === undefined
        ? ['HEAD']
        : ref.startsWith('refs/')
          ? [ref]
          : [`refs/${ref}`, `refs/heads/${ref}`, `refs/tags/${ref}`];
    const patterns = names.flatMap((name) => [name, `${name}^{}`]);
    const listed = await this.#asking(remote, () =>
      git(['ls-remote', '--quiet', '--', remote.repository, ...patterns], this.#options(remote)),
    );
    const found = new Map<string, string>();
    for (const line of listed.split('\n')) {
      const [commit = '', name = ''] = line.split('\t');
      if (isCommit(commit)) found.set(name, commit);
    }
    for (const name of names) {
      const commit = found.get(`${name}^{}`) ?? found.get(name);
      if (commit !== undefined) return { commit, name };
    }
    throw new HuskError(`repository does not contain ref ${ref ?? 'HEAD'}`, { kind: 'not-found' });
  }

  /** Fetches one commit. @returns the folder of the bare repository */
  async #fetch(remote: Remote, { commit, name }: Wanted): Promise<string> {
    const { work } = this.#place;
    const folder = join(work, `${REPOSITORY}${this.#repositories++}`);
    mkdirSync(folder);
    try {
      await this.#fetchInto(folder, remote, { commit, name });
      return folder;
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  async #fetchInto(folder: string, remote: Remote, { commit, name }: Wanted): Promise<void> {
    const format = commit.length === 64 ? 'sha256' : 'sha1';
    await git(['init', '--quiet', '--bare', '--template=', `--object-format=${format}`, folder], this.#options());
    mkdirSync(join(folder, 'info'), { recursive: true });
    // What is marked so is left out of archives, or changed there, and is what a checkout has.
    writeFileSync(join(folder, 'info/attributes'), '* -export-ignore -export-subst -filter\n');
    const fetch = (words: readonly string[], refs: readonly string[]) =>
      git(
        ['fetch', '--quiet', '--no-tags', '--force', ...words, '--', remote.repository, ...refs],
        this.#options(remote, folder),
      );
    const has = () => this.#has(folder, commit);
    await this.#asking(remote, async () => {
      for (const asked of [name, commit]) {
        if (asked === undefined) continue;
        let problem: unknown;
        await fetch(['--depth=1'], [`+${asked}:refs/husk/fetched`]).catch((error: unknown) => (problem = error));
        if (problem instanceof HuskError && problem.kind !== 'unavailable') throw problem;
        this.#assertSize();
        if (await has()) return;
      }
      // Some servers give no commit that is not the tip of something, and some no part of a history.
      await fetch([], ['+HEAD:refs/husk/head', '+refs/heads/*:refs/husk/heads/*', '+refs/tags/*:refs/husk/tags/*']);
      this.#assertSize();
      if (!(await has()))
        throw new HuskError(`the repository has no commit ${commit}`, {
          kind: 'not-found',
          fix: 'build again if its branch has just been moved',
        });
    });
  }

  async #has(folder: string, commit: string): Promise<boolean> {
    return await git(['cat-file', '-t', commit], this.#options(undefined, folder)).then(
      (type) => type.trim() === 'commit',
      () => false,
    );
  }

  /** Of all repositories that are here: submodules are fetched while those that they lie in are still needed. */
  #assertSize(): void {
    const { work } = this.#place;
    let size = 0;
    for (const repository of readdirSync(work).filter((name) => name.startsWith(REPOSITORY))) {
      const packs = join(work, repository, 'objects/pack');
      for (const name of readdirSync(packs)) size += statSync(join(packs, name)).size;
    }
    if (size > this.#job.maxSize)
      throw new HuskError(`the repository has more than ${this.#job.maxSize} bytes`, {
        kind: 'limit',
        fix: 'if it is to be trusted, set "max-layer-size" in the config',
      });
  }

  /** Puts the repository in front of what git says of it. */
  async #asking<T>(remote: Remote, ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof HuskError) || error.kind !== 'unavailable') throw error;
      const said = error.message.replaceAll(remote.repository, redacted(remote.repository));
      throw new HuskError(`failed to fetch remote ${redacted(remote.repository)}: ${said}`, {
        kind: 'unavailable',
        fix: error.fix,
        cause: error,
      });
    }
  }

  /** Gives the files of a commit, and of its submodules, and takes the repository away again. */
  async files(
    remote: Remote,
    wanted: Wanted,
    { subdir, prefix, depth }: { subdir: string; prefix: string; depth: number },
  ): Promise<void> {
    const { commit } = wanted;
    const folder = await this.#fetch(remote, wanted);
    const own = this.#options(undefined, folder);
    try {
      const modules = await submodulesOf(own, commit, { wanted: this.#job.submodules });
      const above = modules.find(({ path }) => subdir === path || subdir.startsWith(`${path}/`));
      if (above)
        return await this.#module(remote, above, { subdir: subdir.slice(above.path.length + 1), prefix, depth });
      if (subdir !== '') await this.#assertFolder(own, commit, subdir);
      const time = Number((await git(['show', '-s', '--format=%ct', commit, '--'], own)).trim()) || 0;
      const tree = subdir === '' ? commit : `${commit}:${subdir}`;
      const archive = startGit(
        ['archive', '--format=tar', ...(prefix === '' ? [] : [`--prefix=${prefix}`]), tree],
        own,
      );
      try {
        for await (const piece of archivePart(archive.stdout, time)) await this.#sink.data(piece);
      } catch (error) {
        archive.kill();
        await archive.ended;
        throw error;
      }
      await archive.ended;
      for (const module of modules) {
        const inside = subdir === '' ? module.path : module.path.slice(subdir.length + 1);
        if (subdir === '' || module.path.startsWith(`${subdir}/`))
          await this.#module(remote, module, { subdir: '', prefix: `${prefix}${inside}/`, depth });
      }
      if (this.#job.keepGitDir && depth === 0 && subdir === '') {
        await git(['read-tree', commit], { ...own, env: { ...own.env, GIT_INDEX_FILE: join(folder, 'index') } });
        const { repository } = remote;
        for await (const piece of gitFolder(folder, { commit, repository: redactedWhole(repository), time }))
          await this.#sink.data(piece);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  async #assertFolder(own: GitOptions, commit: string, subdir: string): Promise<void> {
    const type = await git(['cat-file', '-t', `${commit}:${subdir}`], own).catch(() => '');
    if (type.trim() !== 'tree')
      throw new HuskError(`the repository has no folder ${JSON.stringify(subdir)}`, { kind: 'not-found' });
  }

  async #module(
    parent: Remote,
    { path, url, commit }: Submodule,
    { subdir, prefix, depth }: { subdir: string; prefix: string; depth: number },
  ): Promise<void> {
    if (depth >= MAX_DEPTH || this.#repositories > MAX_SUBMODULES) throw tooManySubmodules();
    if (url === undefined)
      throw new HuskError(`no url found for submodule path ${JSON.stringify(path)} in .gitmodules`, {
        kind: 'corrupt',
      });
    await this.#sink.say({ type: 'note', text: `submodule ${path}` });
    await this.files(submoduleUrl(url, parent.repository), { commit }, { subdir, prefix, depth: depth + 1 });
  }
}

/** @returns a URL without who asks: the image has it */
const redactedWhole = (repository: string): string => repository.replace(/^([a-z+]+:\/\/)[^/@]*@/i, '$1');
