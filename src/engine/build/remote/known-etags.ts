/**
 * The ETags of URLs that were fetched before, each with the key of the layer that it stands for: a hint that saves a
 * download, and nothing more. A file for each URL in the data root's build-etags/; what cannot be read is as absent.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseEtag } from '../../../images/build/remote/http-url.ts';
import type { Paths } from '../../../paths.ts';
import { writeWholeFile } from '../../../whole-file.ts';

/** of one URL, the newest first: servers behind one name may have their own */
const MAX_KNOWN = 8;
/** bytes: what so many take, and more is not ours */
const MAX_FILE = 64 << 10;
const KEY = /^[0-9a-f]{64}$/;

export interface KnownEtag {
  etag: string;
  key: string;
}

const fileOf = ({ dataRoot }: Pick<Paths, 'dataRoot'>, url: string): string =>
  join(dataRoot, 'build-etags', createHash('sha256').update(url).digest('hex'));

export function knownEtags(paths: Pick<Paths, 'dataRoot'>, url: string): KnownEtag[] {
  const file = fileOf(paths, url);
  try {
    if (statSync(file).size > MAX_FILE) return [];
    const value = JSON.parse(readFileSync(file, 'utf8')) as { known?: unknown };
    if (!Array.isArray(value.known)) return [];
    return value.known.slice(0, MAX_KNOWN).flatMap((each: Partial<KnownEtag> | null) => {
      const { etag, key } = each ?? {};
      return typeof etag === 'string' && parseEtag(etag) !== undefined && typeof key === 'string' && KEY.test(key)
        ? [{ etag, key }]
        : [];
    });
  } catch {
    return [];
  }
}

/** Puts one in front of the others. A disk without room costs a download later. */
export function keepEtag(paths: Pick<Paths, 'dataRoot'>, url: string, etag: KnownEtag): void {
  const known = [etag, ...knownEtags(paths, url).filter((each) => each.etag !== etag.etag)].slice(0, MAX_KNOWN);
  try {
    mkdirSync(join(paths.dataRoot, 'build-etags'), { recursive: true, mode: 0o700 });
    writeWholeFile(fileOf(paths, url), Buffer.from(JSON.stringify({ version: 1, known })), { mode: 0o600 });
  } catch {
    // It is a hint alone.
  }
}
