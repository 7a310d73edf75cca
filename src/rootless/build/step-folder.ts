/**
 * The folder of one step of a build, in the data root's tmp/: what is written there is the container's root's, who is
 * another user where root runs husk. All of it goes with the step, but for the layer that is renamed out of it.
 */
import { chmodSync, chownSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { MountFolder } from '../../container/build/mounts.ts';
import type { IdMaps } from '../idmap.ts';
import { removeTree } from '../trees.ts';

export class StepFolder implements MountFolder {
  readonly path: string;
  readonly #maps: IdMaps;
  /** overlay's own folders, which nobody may list */
  readonly #works: string[] = [];

  /** @param path nothing is there yet */
  constructor(path: string, maps: IdMaps) {
    this.path = path;
    this.#maps = maps;
    mkdirSync(path);
    chmodSync(path, 0o711);
  }

  /** Makes a folder that belongs to the container's root. */
  make(name: string, mode = 0o755): string {
    const path = join(this.path, name);
    mkdirSync(path, { mode });
    this.#give(path, mode);
    return path;
  }

  /** Makes one of overlay's work folders. */
  makeWork(name: string): string {
    const path = this.make(name);
    this.#works.push(path);
    return path;
  }

  write(name: string, content: string, mode: number): string {
    const path = join(this.path, name);
    writeFileSync(path, content, { mode, flag: 'wx' });
    this.#give(path, mode);
    return path;
  }

  /** Gives what lies in it to the container's root. */
  give(name: string, mode: number): void {
    this.#give(join(this.path, name), mode);
  }

  #give(path: string, mode: number): void {
    chmodSync(path, mode);
    if (this.#maps.direct) chownSync(path, this.#maps.uid[0]!.hostID, this.#maps.gid[0]!.hostID);
  }

  /** What overlay leaves in a work folder is empty, and can be removed though it cannot be listed. */
  async remove(): Promise<void> {
    for (const path of this.#works) {
      try {
        rmdirSync(join(path, 'work'));
      } catch {
        // It was never mounted.
      }
    }
    await removeTree(this.path);
  }
}
