/**
 * The images that a build begins with, or copies from: found here, pulled, or read out of a layout of the caller's,
 * each once and side by side. A pull and a reading are steps of the build's progress.
 */
import { HuskError } from '../../errors.ts';
import type { BuildStore, Image, Images, LayoutChoice, Platform } from '../../images/store/contract.ts';
import { formatPlatform, hostPlatform, serves } from '../../images/store/platform.ts';
import { fullReference, parseReference, withDefaultTag } from '../../images/store/reference.ts';
import type { BuildOptions } from '../build-contract.ts';
import { layoutReference } from './plan-options.ts';
import type { Step, Steps } from './steps.ts';

export interface BasesOptions {
  images: Images;
  steps: Steps;
  /** whether registries are asked though the image is here */
  pull: boolean;
  signal: AbortSignal;
  /** that is built for: of an image that has several it is the one that is taken */
  platform: Platform;
  /** `--build-context` */
  contexts: BuildOptions['contexts'];
  store: Pick<BuildStore, 'readLayout'>;
  credentials: BuildOptions['credentials'];
}

export class Bases {
  readonly #options: BasesOptions;
  readonly #found = new Map<string, Promise<Image>>();
  /** by the references that the plan has for them */
  readonly #layouts: ReadonlyMap<string, LayoutChoice>;

  constructor(options: BasesOptions) {
    this.#options = options;
    this.#layouts = new Map(
      Object.values(options.contexts).flatMap((named) =>
        named.kind === 'layout' ? [[layoutReference(named), named] as const] : [],
      ),
    );
  }

  /** @throws HuskError naming the image as it was written */
  get(reference: string, platform: Platform = this.#options.platform): Promise<Image> {
    const key = `${formatPlatform(platform)} ${reference}`;
    let found = this.#found.get(key);
    if (!found) {
      found = this.#fetch(reference, platform);
      // Whoever asked first may be waiting for something else when it fails.
      found.catch(() => {});
      this.#found.set(key, found);
    }
    return found;
  }

  async #fetch(reference: string, platform: Platform): Promise<Image> {
    const { images, steps, pull, signal, credentials } = this.#options;
    const layout = this.#layouts.get(reference);
    if (layout) return this.#read(layout, reference, platform);
    const here = images.find(reference, platform);
    if (here && !pull && serves(here.config, platform)) return here;
    // An id has no registry that could be asked.
    if (here && /^(?:sha256:)?[0-9a-f]{12,64}$/.test(reference)) return here;
    const parsed = parseReference(reference);
    const name = fullReference(withDefaultTag(parsed));
    const step = steps.start(`[internal] pull ${name}`);
    return this.#ending(step, reference, async () => {
      const { image } = await images.pull(reference, {
        platform,
        // A name here stays that of this machine's image, which the next run and the next build want.
        isNamed: serves(hostPlatform(), platform),
        signal,
        ...(credentials && { credentials: await credentials(parsed.domain) }),
        onProgress: ({ id, status, current, total }) => {
          if (id === undefined) step.message(status);
          else step.transfer(id, status, current ?? 0, total);
        },
      });
      return image;
    });
  }

  /** A layout is asked every time: its index may name another image by now. */
  #read(layout: LayoutChoice, reference: string, platform: Platform): Promise<Image> {
    const { steps, store, signal } = this.#options;
    const step = steps.start(`[internal] load ${reference}`);
    return this.#ending(step, reference, () =>
      store.readLayout(layout, {
        platform,
        signal,
        onBytes: (id, current, total) => step.transfer(id, 'Loading layer', current, total),
      }),
    );
  }

  async #ending(step: Step, reference: string, work: () => Promise<Image>): Promise<Image> {
    const { signal } = this.#options;
    try {
      const image = await work();
      step.end('done');
      return image;
    } catch (error) {
      if (signal.aborted) step.end('canceled');
      else step.end('error', error instanceof Error ? error.message : String(error));
      // What a registry does not give may still be here, if the caller only wanted the newest.
      throw error instanceof HuskError && !error.message.includes(reference)
        ? new HuskError(`${reference}: ${error.message}`, {
            kind: error.kind,
            cause: error,
            ...(error.fix && { fix: error.fix }),
          })
        : error;
    }
  }
}
