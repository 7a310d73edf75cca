/** A store of its own for one test, and what must hold of any store at any moment: fsck. */
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Config } from '../../src/config.ts';
import { ImageStore } from '../../src/images/images.ts';
import type { Paths } from '../../src/paths.ts';
import { paths as pathsOf } from '../../src/paths.ts';
import { openDatabase } from '../../src/state/database.ts';

export interface TestStore extends Disposable {
  store: ImageStore;
  paths: Paths;
  /** names in the data root's folder, [] when it is not there */
  names(folder: 'blobs' | 'layers' | 'tmp'): string[];
  /** every broken promise, one line each */
  fsck(): string[];
}

export function testStore(options: { config?: Config; env?: NodeJS.ProcessEnv; dataRoot?: string } = {}): TestStore {
  const dataRoot = options.dataRoot ?? mkdtempSync(join(tmpdir(), 'husk-store-'));
  const paths = pathsOf({ dataRoot });
  const database = openDatabase(paths.database);
  // no test may read the credentials of whoever runs it
  const store = new ImageStore({
    paths,
    database,
    config: options.config ?? {},
    env: options.env ?? { PATH: process.env['PATH'], DOCKER_CONFIG: join(dataRoot, 'no-docker-config') },
  });
  const names = (folder: 'blobs' | 'layers' | 'tmp') =>
    existsSync(paths[folder]) ? readdirSync(paths[folder]).sort() : [];
  return {
    store,
    paths,
    names,
    fsck: () => fsck(store, paths, names),
    [Symbol.dispose]() {
      database.close();
      rmSync(dataRoot, { recursive: true, force: true });
    },
  };
}

const hash = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex');

function fsck(store: ImageStore, paths: Paths, names: TestStore['names']): string[] {
  const wrong: string[] = [];
  for (const hex of names('blobs'))
    if (hash(join(paths.blobs, hex)) !== hex) wrong.push(`blob ${hex} has another digest`);
  for (const hex of names('layers')) {
    const tar = join(paths.layers, hex, 'layer.tar');
    if (!existsSync(tar)) wrong.push(`layer ${hex} has no tar`);
    else if (hash(tar) !== hex) wrong.push(`layer ${hex} has another diffID`);
  }
  for (const image of store.list()) {
    for (const layer of image.layers) if (!existsSync(layer.tar)) wrong.push(`image ${image.id} lacks ${layer.tar}`);
    if (!store.blobs.has(image.id)) wrong.push(`image ${image.id} lacks its config`);
    if (!store.blobs.has(store.records.manifestDigest(image.id)!)) wrong.push(`image ${image.id} lacks its manifest`);
    if (image.layers.length !== image.config.rootfs.diff_ids.length) wrong.push(`image ${image.id} lacks layer rows`);
  }
  return wrong;
}
