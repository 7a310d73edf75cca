/**
 * Repositories as a build names them, in BuildKit's forms: `URL#ref:dir`, `URL?ref=…&subdir=…`, `user@host:path`. All
 * of it may be a stranger's, as in an ADD of somebody's Dockerfile: nothing that git or ssh would take for an option
 * gets through. Pure.
 */
import { posix } from 'node:path';
import { HuskError } from '../../../errors.ts';

export type GitTransport = 'http' | 'https' | 'ssh' | 'git';

export interface GitSource {
  /** what git is given: no fragment, no query */
  repository: string;
  transport: GitTransport;
  /** a branch, a tag, a full name `refs/…` or a commit; the remote's HEAD where it is absent */
  ref?: string;
  /** path of the folder that is the root, cleaned; '' is the repository's own */
  subdir: string;
  /** 7 to 64 hex digits with which the commit has to begin */
  checksum?: string;
  /** undefined where the URL does not say */
  keepGitDir?: boolean;
  submodules: boolean;
}

/** characters of a URL: git's own bound for a line of its protocol is 65516 */
const MAX_URL = 8192;
/** characters of a ref: a file of this name is made in .git */
const MAX_REF = 1024;
const SCP = /^([\w.-]+@)([\w.-]+):(?!\/\/)(.*)$/s;
const REMOTE = /^(?:git|ssh):\/\//i;
const HTTP_REPOSITORY = /^https?:\/\/[^#?]*\.git\/?(?:$|[#?])/i;
/** git-check-ref-format(1), and no space */
const BAD_REF = /[\x00-\x20\x7f~^:?*[\\]|\.\.|@\{|\/\/|^[-/]|[/.]$/;
const COMMIT = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;
const CHECKSUM = /^[0-9a-f]{7,64}$/;
const QUERY = new Set(['ref', 'tag', 'branch', 'subdir', 'checksum', 'commit', 'keep-git-dir', 'submodules']);

const invalid = (text: string, why: string): HuskError =>
  new HuskError(`invalid repository ${JSON.stringify(redacted(text).slice(0, 200))}: ${why}`, { kind: 'invalid' });

/** @returns whether a text is a repository and not a file of http(s), as BuildKit tells them apart */
export const isGitUrl = (text: string): boolean => REMOTE.test(text) || SCP.test(text) || HTTP_REPOSITORY.test(text);

/** @returns whether a ref is a whole commit, which no server can change the meaning of */
export const isCommit = (ref: string): boolean => COMMIT.test(ref);

/**
 * @returns a text for people: without the passwords of URLs in it. It takes time in proportion to the text: what is
 * tried stops at a slash, and begins with two
 */
export const redacted = (text: string): string =>
  text.replace(/\b((?:https?|ssh|git):\/\/[^\s/@:?#]*):[^\s/@?#]*@/gi, '$1:xxxxx@');

/**
 * Parses what isGitUrl knows.
 * @throws HuskError `invalid` naming what is wrong
 */
export function parseGitUrl(text: string): GitSource {
  if (text.length > MAX_URL) throw invalid(text, `it is longer than ${MAX_URL} characters`);
  if (/[\x00-\x20\x7f]/.test(text)) throw invalid(text, 'it has a space or a control character');
  const [beforeFragment, fragment] = cut(text, '#');
  const [base, query] = cut(beforeFragment, '?');
  const { repository, transport } = repositoryOf(base, text);
  const asked = queryOf(query, text);
  const [fragmentRef = '', fragmentDir = ''] = fragment === undefined ? [] : cut(decoded(fragment, text), ':');
  const ref = one(text, 'ref', [
    fragmentRef,
    asked.get('ref'),
    asked.has('tag') ? `refs/tags/${asked.get('tag')}` : '',
    asked.has('branch') ? `refs/heads/${asked.get('branch')}` : '',
  ]);
  const subdir = one(text, 'subdir', [fragmentDir, asked.get('subdir')]);
  const checksum = one(text, 'checksum', [asked.get('checksum'), asked.get('commit')]);
  if (ref !== undefined) assertRef(ref, text);
  if (checksum !== undefined && !CHECKSUM.test(checksum))
    throw invalid(text, `checksum ${JSON.stringify(checksum)} is no commit`);
  const keepGitDir = flag(asked, 'keep-git-dir', text);
  return {
    repository,
    transport,
    subdir: posix
      .join('/', subdir ?? '')
      .replace(/\/+$/, '')
      .slice(1),
    submodules: flag(asked, 'submodules', text) ?? true,
    ...(ref !== undefined && { ref }),
    ...(checksum !== undefined && { checksum }),
    ...(keepGitDir !== undefined && { keepGitDir }),
  };
}

/** @returns what git is given of a URL without query and fragment @param whole for messages */
function repositoryOf(base: string, whole: string): Pick<GitSource, 'repository' | 'transport'> {
  const [, user, host, path] = (base.includes('://') ? undefined : SCP.exec(base)) ?? [];
  if (user !== undefined) {
    if (user.startsWith('-') || host!.startsWith('-') || path!.startsWith('-'))
      throw invalid(whole, 'a part of it begins with -');
    if (path === '') throw invalid(whole, 'it has no path');
    return { repository: `${user}${host}:${path}`, transport: 'ssh' };
  }
  let url: URL;
  try {
    url = new URL(base);
  } catch {
    throw invalid(whole, 'it is no URL');
  }
  const transport = url.protocol.slice(0, -1);
  if (transport !== 'http' && transport !== 'https' && transport !== 'ssh' && transport !== 'git')
    throw invalid(whole, `${transport} is none of http, https, ssh, git`);
  // ssh(1) would take such a host or user for an option (CVE-2017-1000117).
  if (url.hostname.startsWith('-') || decoded(url.username, whole).startsWith('-'))
    throw invalid(whole, 'its host begins with -');
  if (url.hostname === '') throw invalid(whole, 'it has no host');
  if (decoded(url.pathname, whole).startsWith('/-')) throw invalid(whole, 'its path begins with -');
  return { repository: url.href, transport };
}

/**
 * Parses the URL that a repository gives of one of its submodules, which must be http(s) or ssh.
 * @param text as .gitmodules has it: `./` and `../` are relative to the parent
 * @param parent repository that the submodule is in
 * @throws HuskError `invalid`
 */
export function submoduleUrl(text: string, parent: string): Pick<GitSource, 'repository' | 'transport'> {
  if (text.length > MAX_URL || /[\x00-\x20\x7f]/.test(text))
    throw invalid(text, 'it is too long, or has a space or a control character');
  const base = /^\.\.?\//.test(text) ? relativeTo(parent, text) : text;
  if (!/^(?:https?|ssh):\/\//i.test(base) && !SCP.test(base))
    throw invalid(text, 'a submodule may come by http, https or ssh');
  return repositoryOf(base, base);
}

/** gitsubmodules(7): each `../` takes one name off the parent's path; none takes a host off. */
function relativeTo(parent: string, text: string): string {
  const [, start = '', path = ''] = /^([a-z]+:\/\/[^/]*\/|[^:/]*:)(.*)$/is.exec(parent) ?? [];
  const names = path.replace(/\/+$/, '').split('/');
  let rest = text;
  for (;;) {
    if (rest.startsWith('./')) rest = rest.slice(2);
    else if (rest.startsWith('../')) {
      if (names.length === 0) throw invalid(text, 'it leads above the host of its parent');
      names.pop();
      rest = rest.slice(3);
    } else return start + [...names, rest].join('/');
  }
}

function queryOf(query: string | undefined, text: string): Map<string, string> {
  const asked = new Map<string, string>();
  for (const [key, value] of new URLSearchParams(query ?? '')) {
    if (!QUERY.has(key)) throw invalid(text, `unexpected query ${JSON.stringify(key.slice(0, 100))}`);
    if (asked.has(key)) throw invalid(text, `${key} is there twice`);
    asked.set(key, value);
  }
  if (asked.has('tag') && asked.has('branch')) throw invalid(text, 'it has a tag and a branch');
  return asked;
}

function one(text: string, what: string, values: readonly (string | undefined)[]): string | undefined {
  const given = new Set(values.filter(Boolean));
  if (given.size > 1) throw invalid(text, `${what} conflicts: ${[...given].join(' and ')}`);
  return [...given][0];
}

function flag(asked: ReadonlyMap<string, string>, key: string, text: string): boolean | undefined {
  const value = asked.get(key);
  if (value === undefined) return undefined;
  if (['', '1', 'true', 't', 'T', 'TRUE', 'True'].includes(value)) return true;
  if (['0', 'false', 'f', 'F', 'FALSE', 'False'].includes(value)) return false;
  throw invalid(text, `${key}=${value} is neither true nor false`);
}

function assertRef(ref: string, text: string): void {
  if (ref.length > MAX_REF || BAD_REF.test(ref) || ref.split('/').some((name) => /^\.|\.lock$/.test(name)))
    throw invalid(text, `${JSON.stringify(ref.slice(0, 100))} is no name of a branch, a tag or a commit`);
}

function decoded(text: string, whole: string): string {
  try {
    const plain = decodeURIComponent(text);
    if (/[\x00-\x1f\x7f]/.test(plain)) throw invalid(whole, 'it has a control character');
    return plain;
  } catch (error) {
    if (error instanceof HuskError) throw error;
    throw invalid(whole, 'it has a broken % sequence');
  }
}

/** @returns what stands before and behind the first of a mark */
function cut(text: string, mark: string): [string, string | undefined] {
  const at = text.indexOf(mark);
  return at === -1 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}
