/**
 * The folder `.git` of an image, where a build wants it (`--keep-git-dir`): what a shallow clone has, without hooks,
 * logs and whatever says who has fetched it.
 */
import { createReadStream, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fromText } from '../../../tar/byte-string.ts';
import { paddingOf, tarHeader } from '../../../tar/write.ts';

const FOLDER_MODE = 0o755;
const FILE_MODE = 0o644;
/** of a bare repository, as it is */
const KEPT = /^(?:index|shallow|objects\/(?:pack|[0-9a-f]{2})\/[\w.-]+)$/;

/** @param folder a bare repository with an `index` */
export async function* gitFolder(
  folder: string,
  { commit, repository, time }: { commit: string; repository: string; time: number },
): AsyncGenerator<Buffer, void, void> {
  const member = (path: string) => ({ path: fromText(`.git/${path}`), mtime: time });
  const own: Record<string, string> = {
    HEAD: `${commit}\n`,
    config: configOf(commit, repository),
    'info/exclude': '',
  };
  for (const path of ['', 'info/', 'objects/', 'objects/info/', 'objects/pack/', 'refs/', 'refs/heads/', 'refs/tags/'])
    yield tarHeader({ type: 'directory', mode: FOLDER_MODE, ...member(path) });
  for (const [path, text] of Object.entries(own)) {
    const bytes = Buffer.from(text);
    yield tarHeader({ type: 'file', mode: FILE_MODE, size: bytes.length, ...member(path) });
    yield Buffer.concat([bytes, paddingOf(bytes.length)]);
  }
  for (const path of (readdirSync(folder, { recursive: true }) as string[]).sort()) {
    if (!KEPT.test(path)) continue;
    const { size } = statSync(join(folder, path));
    yield tarHeader({ type: 'file', mode: FILE_MODE, size, ...member(path) });
    for await (const chunk of createReadStream(join(folder, path))) yield chunk as Buffer;
    yield paddingOf(size);
  }
}

/** A value in quotes, git-config(1) § Syntax. */
function configOf(commit: string, repository: string): string {
  const url = repository.replace(/["\\]/g, '\\$&');
  const sha256 = commit.length === 64;
  return [
    '[core]',
    `\trepositoryformatversion = ${sha256 ? 1 : 0}`,
    '\tfilemode = true',
    '\tbare = false',
    ...(sha256 ? ['[extensions]', '\tobjectformat = sha256'] : []),
    '[remote "origin"]',
    `\turl = "${url}"`,
    '\tfetch = +refs/heads/*:refs/remotes/origin/*',
    '',
  ].join('\n');
}
