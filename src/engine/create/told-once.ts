/**
 * What a person is told once after each boot and no more: a property of this host, which every command would otherwise
 * repeat, on a terminal or in a script's log. Kept in `cache/news`; where nothing can be kept, it is told again.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readOptional } from '../../host/files/read-optional.ts';
import type { Paths } from '../../paths.ts';
import { writeWholeFile } from '../../whole-file.ts';

/** texts kept; an older one is told again */
const MAX_NEWS = 64;
const BOOT_ID = '/proc/sys/kernel/random/boot_id';

/**
 * Whether a text has not been told since the host was started. From now on it has been.
 * @param bootId tests have a file of their own
 */
export function isNews(text: string, paths: Pick<Paths, 'dataRoot'>, bootId: string = BOOT_ID): boolean {
  const file = join(paths.dataRoot, 'cache/news');
  try {
    const boot = readFileSync(bootId, 'latin1').trim();
    const [keptBoot, ...kept] = readOptional(file)?.trimEnd().split('\n') ?? [];
    const told = keptBoot === boot ? kept : [];
    const line = JSON.stringify(text);
    if (told.includes(line)) return false;
    mkdirSync(dirname(file), { recursive: true, mode: 0o711 });
    const news = [boot, ...told.slice(-(MAX_NEWS - 1)), line];
    writeWholeFile(file, `${news.join('\n')}\n`, { mode: 0o600 });
  } catch {
    // a read-only or full disk: then it is told again
  }
  return true;
}
