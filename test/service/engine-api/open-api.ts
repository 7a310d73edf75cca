/** The API over an engine whose containers a fake supervisor runs, with a real store of images or a fake one. */
import type { ExecutionContext } from 'ava';
import type { Engine } from '../../../src/engine/contract.ts';
import type { ImageStore } from '../../../src/images/images.ts';
import type { Images } from '../../../src/images/store/contract.ts';
import { openTestEngine, type TestEngine } from '../../engine/fixture.ts';
import { tarball } from '../../fixtures/tar.ts';
import { testStore } from '../../images/store.ts';
import { startServer, type TestServer } from '../fixture.ts';

export interface Api {
  server: TestServer;
  engine: Engine;
  run: TestEngine['run'];
}

export interface ImageApi extends Api {
  store: ImageStore;
}

/** Its one image is `test`, which has no layers. */
export async function openApi(t: ExecutionContext, images: Partial<Images> = {}): Promise<Api> {
  const { engine, run } = await openTestEngine(t, undefined, images);
  const server = await startServer(engine);
  t.teardown(async () => {
    await server[Symbol.asyncDispose]();
    if (server.bugs.length > 0) throw server.bugs[0];
  });
  return { server, engine, run };
}

export async function openImageApi(t: ExecutionContext): Promise<ImageApi> {
  const images = testStore();
  t.teardown(() => images[Symbol.dispose]());
  return { ...(await openApi(t, bound(images.store))), store: images.store };
}

/** The store's methods, as an object that can be spread. */
function bound(store: ImageStore): Partial<Images> {
  const names = Object.getOwnPropertyNames(Object.getPrototypeOf(store)) as (keyof Images | 'constructor')[];
  return Object.fromEntries(
    names.flatMap((name) =>
      name === 'constructor' ? [] : [[name, (store[name] as (...args: unknown[]) => unknown).bind(store)]],
    ),
  ) as Partial<Images>;
}

/** A small file system of one file. */
export const smallTar = (content: string): Buffer => tarball({ name: 'file', body: content });
