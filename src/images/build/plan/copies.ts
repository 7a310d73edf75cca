/** COPY and ADD with their sources and their destination settled. Pure. */
import { posix } from 'node:path';
import { HuskError } from '../../../errors.ts';
import { fileName } from './file-names.ts';
import type { HereDocument } from '../dockerfile/heredocs.ts';
import { sourcePath } from '../dockerfile/source-path.ts';
import type { CopyCommand } from '../dockerfile/commands.ts';
import { parseChmod } from '../files/modes.ts';
import type { CopyOperation, CopySource, Origin } from '../operations.ts';
import { isGitUrl, parseGitUrl, redacted } from '../remote/git-url.ts';
import { fileNameOf, parseHttpUrl } from '../remote/http-url.ts';

const HTTP = /^https?:\/\//;
const DIGEST = /^(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})$/;
const COMMIT = /^[0-9a-f]{7,64}$/;

const invalid = (message: string, fix?: string) => new HuskError(message, { kind: 'invalid', fix });

/**
 * Plans a COPY or ADD.
 * @param word expands a word
 * @param body makes a here-document's bytes
 * @throws HuskError `invalid`
 */
export function planCopy(
  command: CopyCommand,
  word: (text: string) => string,
  body: (document: HereDocument) => string,
  cwd: string,
  origin: Origin,
): Pick<
  CopyOperation,
  | 'add'
  | 'origin'
  | 'sources'
  | 'destination'
  | 'chown'
  | 'chmod'
  | 'exclude'
  | 'parents'
  | 'unpack'
  | 'checksum'
  | 'keepGitDir'
  | 'createdBy'
> {
  const { add, parents, unpack, keepGitDir } = command;
  const [chown, chmod, checksum] = [word(command.chown), word(command.chmod), word(command.checksum)];
  // A wrong mode is told with its line, before anything is built.
  if (chmod !== '') parseChmod(chmod);
  const sources = command.sources.map((source) =>
    typeof source === 'string' ? copySource(word(source), add) : inlineSource(source, body),
  );
  if (checksum !== '') check(checksum, sources);
  const destination = word(command.destination);
  return {
    add,
    origin,
    sources,
    destination: destinationPath(destination, cwd),
    exclude: command.exclude.map(word),
    parents,
    createdBy: history(command, { chown, chmod, destination, sources }),
    ...(chown === '' ? {} : { chown }),
    ...(chmod === '' ? {} : { chmod }),
    ...(checksum === '' ? {} : { checksum }),
    ...(unpack === undefined ? {} : { unpack }),
    ...(keepGitDir ? { keepGitDir } : {}),
  };
}

function copySource(text: string, add: boolean): CopySource {
  const isGit = isGitUrl(text);
  if (!add && isGit) throw invalid("source can't be a git ref for COPY", 'use ADD');
  if (!add && HTTP.test(text)) throw invalid("source can't be a URL for COPY", 'use ADD');
  if (isGit) {
    parseGitUrl(text);
    return { kind: 'git', url: text };
  }
  if (HTTP.test(text)) {
    fileNameOf(parseHttpUrl(text));
    return { kind: 'url', url: text };
  }
  return { kind: 'path', path: sourcePath(text), written: text };
}

function inlineSource(document: HereDocument, body: (document: HereDocument) => string): CopySource {
  return { kind: 'inline', name: fileName(document.name), data: body(document) };
}

/** A path in the image; a slash, or `/.`, at its end says that it is a folder, and so it stays there as a slash. */
function destinationPath(text: string, cwd: string): string {
  const path = posix.resolve('/', cwd, text);
  const isFolder = text === '' || text === '.' || text.endsWith('/') || text.endsWith('/.');
  return isFolder && path !== '/' ? `${path}/` : path;
}

function check(checksum: string, sources: readonly CopySource[]): void {
  const [source, ...more] = sources;
  if (more.length > 0) throw invalid("checksum can't be specified for multiple sources");
  if (source!.kind !== 'url' && source!.kind !== 'git') throw invalid('checksum requires HTTP(S) or Git sources');
  if (!(source!.kind === 'git' ? COMMIT : DIGEST).test(checksum))
    throw invalid(`invalid checksum digest format: ${checksum}`, 'write sha256: and 64 hex digits');
}

/** What history says, in Docker's order: here-documents come behind the other sources. */
function history(
  { name, parents }: CopyCommand,
  { chown, chmod, destination, sources }: { chown: string; chmod: string; destination: string; sources: CopySource[] },
): string {
  const texts = (kinds: CopySource['kind'][], text: (source: CopySource) => string) =>
    sources.filter(({ kind }) => kinds.includes(kind)).map(text);
  const words = [
    name,
    ...(parents ? ['--parents'] : []),
    ...(chown === '' ? [] : [`--chown=${chown}`]),
    ...(chmod === '' ? [] : [`--chmod=${chmod}`]),
    ...texts(['path', 'url', 'git'], (source) =>
      'written' in source ? source.written : 'url' in source ? redacted(source.url) : '',
    ),
    ...texts(['inline'], (source) => ('name' in source ? `<<${source.name}` : '')),
    destination,
  ];
  return `${words.join(' ')} # buildkit`;
}
