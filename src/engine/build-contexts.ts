/** Contexts of a build as people write them, told apart as Docker does: folders, URLs, repositories, images. Pure. */
import { HuskError } from '../errors.ts';
import { isGitUrl, parseGitUrl } from '../images/build/remote/git-url.ts';
import { parseHttpUrl } from '../images/build/remote/http-url.ts';
import { isDigest, parseReference } from '../images/store/reference.ts';
import type { BuildOptions, NamedContext, RemoteContext } from './build-contract.ts';

/** what a browser shows of a repository, without a scheme */
const BARE = /^github\.com\//;

/**
 * @returns the build's own context: a repository, a file of http(s), or a folder
 * @throws HuskError `invalid` for a URL that cannot be one
 */
export const writtenContext = (text: string): BuildOptions['context'] =>
  remoteContext(text) ?? { kind: 'folder', path: text };

/**
 * @param text what stands behind `--build-context NAME=`
 * @throws HuskError `invalid`
 */
export function namedContext(text: string): NamedContext {
  const [, scheme, rest = ''] = /^(docker-image|oci-layout|target):(?:\/\/)?(.*)$/s.exec(text) ?? [];
  if (scheme === 'docker-image') {
    parseReference(rest);
    return { kind: 'image', reference: rest };
  }
  if (scheme === 'target') return { kind: 'stage', name: rest };
  if (scheme === 'oci-layout') return layoutContext(text, rest);
  return remoteContext(text) ?? { kind: 'folder', path: text };
}

/** `FOLDER[:TAG][@DIGEST]`; a colon before a slash is of the folder. */
function layoutContext(text: string, rest: string): NamedContext {
  const [, folder = '', tag, digest] = /^(.*?)(?::(\w[\w.-]{0,127}))?(?:@([^@/]*:[^@/]*))?$/s.exec(rest) ?? [];
  if (folder === '') throw invalid(`${JSON.stringify(text)} names no folder`);
  if (digest !== undefined && !isDigest(digest))
    throw invalid(`${text}: ${JSON.stringify(digest)} is no sha256 digest`);
  return { kind: 'layout', folder, ...(tag !== undefined && { tag }), ...(digest !== undefined && { digest }) };
}

/** @returns undefined for what is neither a URL nor a repository @throws HuskError `invalid` */
function remoteContext(text: string): RemoteContext | undefined {
  const url = BARE.test(text) ? `https://${text}` : text;
  const isGit = url !== text || isGitUrl(url);
  if (!isGit && !/^https?:\/\//i.test(url)) return undefined;
  if (isGit) parseGitUrl(url);
  else parseHttpUrl(url);
  return { kind: 'remote', url, isGit };
}

const invalid = (message: string): HuskError => new HuskError(message, { kind: 'invalid' });
