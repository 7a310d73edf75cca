/**
 * `manifest create`, `annotate`, `inspect`, `push`, `rm`: lists of manifests of several platforms. Decides and
 * delegates: what was made here is in local.ts, what registries have comes from remote.ts.
 */
import { HuskError } from '../../errors.ts';
import { sha256 } from '../store/blobs.ts';
import type { InspectedManifest, ListedManifest, ListedPlatform, ManifestLists } from '../store/contract.ts';
import { isKnown } from '../store/platform.ts';
import { fullReference, parseReference, withDefaultTag, type Reference } from '../store/reference.ts';
import { entryOf, indented, listText, listType } from './entries.ts';
import type { LocalLists } from './local.ts';
import type { RemoteOptions } from './remote.ts';

/** Calls with what reaches registries, for as long as the call lasts. */
export type WithRegistries = <T>(
  call: (remote: Pick<RemoteOptions, 'transport' | 'config' | 'env'>) => Promise<T>,
) => Promise<T>;

export class MadeLists implements ManifestLists {
  readonly #local: LocalLists;
  readonly #registries: WithRegistries;

  constructor(local: LocalLists, registries: WithRegistries) {
    this.#local = local;
    this.#registries = registries;
  }

  /** An aborted call rejects with the signal's reason, whatever it interrupted. */
  async #ask<T>(
    options: Pick<RemoteOptions, 'insecure' | 'signal'>,
    call: (remote: RemoteOptions) => Promise<T>,
  ): Promise<T> {
    try {
      return await this.#registries((remote) => call({ ...remote, ...options }));
    } catch (error) {
      options.signal?.throwIfAborted();
      throw error;
    }
  }

  async inspect(
    text: string,
    { list, all = false, ...options }: Parameters<ManifestLists['inspect']>[1] = {},
  ): Promise<InspectedManifest> {
    const reference = parsed(text);
    if (list !== undefined) {
      const wanted = fullReference(reference);
      const manifest = this.#local.get(parsed(list)).find((each) => each.reference === wanted);
      if (!manifest) throw new HuskError(`No such manifest: ${wanted}`, { kind: 'not-found' });
      return one(manifest);
    }
    const made = this.#local.find(reference);
    if (made) return { text: listText(listType(made), made.map(entryOf)), isList: true, manifests: made };
    const { fetchAll, fetchAny } = await import('./remote.ts');
    return this.#ask(options, async (remote) => {
      const found = await fetchAny(reference, remote);
      if (found.kind === 'manifest') return one(found.manifest);
      const { index } = found;
      const manifests = all ? await fetchAll(reference, index, remote) : [];
      return { text: listText(index.mediaType, index.manifests), isList: true, manifests };
    });
  }

  async create(
    text: string,
    references: readonly string[],
    { amend = false, ...options }: Parameters<ManifestLists['create']>[2] = {},
  ): Promise<string> {
    const list = parsed(text, 'error parsing name for manifest list');
    if (list.digest !== undefined)
      throw new HuskError('refusing to create a tag with a digest reference', { kind: 'invalid' });
    const known = this.#local.find(list);
    refuseKnown(known, amend);
    const names = [...new Map(references.map((each) => parsed(each)).map((each) => [fullReference(each), each]))];
    const missing = names.filter(([name]) => !known?.some(({ reference }) => reference === name));
    const { fetchManifest } = await import('./remote.ts');
    const fetched: ListedManifest[] = [];
    await this.#ask(options, async (remote) => {
      for (const [, reference] of missing) fetched.push(await fetchManifest(reference, remote));
    });
    this.#local.change(list, (manifests) => {
      // Another command may have made the list meanwhile.
      refuseKnown(manifests, amend);
      const there = new Set(manifests?.map(({ reference }) => reference));
      return [...(manifests ?? []), ...fetched.filter(({ reference }) => !there.has(reference))];
    });
    return fullReference(list);
  }

  annotate(listText: string, text: string, changes: Partial<ListedPlatform>): void {
    const list = parsed(listText, 'annotate: error parsing name for manifest list');
    const wanted = fullReference(parsed(text, 'annotate: error parsing name for manifest'));
    const missing = new HuskError(`manifest for image ${text} does not exist in ${listText}`, { kind: 'not-found' });
    this.#local.change(list, (manifests) => {
      if (!manifests?.some(({ reference }) => reference === wanted)) throw missing;
      return manifests.map((each) => (each.reference === wanted ? annotated(each, changes) : each));
    });
  }

  async push(
    text: string,
    { purge = false, onPushed, ...options }: Parameters<ManifestLists['push']>[1] = {},
  ): Promise<string> {
    const list = parsed(text);
    const manifests = this.#local.get(list);
    for (const { reference, platform } of manifests) {
      const { domain } = parseReference(reference);
      if (!platform?.os || !platform.architecture)
        throw new HuskError(`manifest ${reference} must have an OS and Architecture to be pushed to a registry`, {
          kind: 'invalid',
          fix: `husk manifest annotate --os OS --arch ARCH ${text} ${reference}`,
        });
      if (domain !== list.domain)
        throw new HuskError(
          `cannot use source images from a different registry than the target image: ${domain} != ${list.domain}`,
          { kind: 'invalid' },
        );
    }
    const mediaType = listType(manifests);
    const bytes = Buffer.from(listText(mediaType, manifests.map(entryOf)));
    const { sendList } = await import('./remote.ts');
    await this.#ask(options, (remote) => sendList(list, { mediaType, bytes, manifests }, { ...remote, onPushed }));
    if (purge) this.#local.remove(list);
    return sha256(bytes);
  }

  remove(text: string): void {
    this.#local.remove(parsed(text));
  }
}

const one = (manifest: ListedManifest): InspectedManifest => ({
  text: indented(manifest.bytes),
  isList: false,
  manifests: [manifest],
});

function refuseKnown(manifests: readonly ListedManifest[] | undefined, amend: boolean): void {
  if (manifests && !amend)
    throw new HuskError('refusing to amend an existing manifest list with no --amend flag', { kind: 'conflict' });
}

/** @throws HuskError `invalid` with Docker's text for a platform that is none */
function annotated(manifest: ListedManifest, changes: Partial<ListedPlatform>): ListedManifest {
  const platform = { os: '', architecture: '', ...manifest.platform, ...changes };
  if (!isKnown(platform))
    throw new HuskError(
      `manifest entry for image has unsupported os/arch combination: ${platform.os}/${platform.architecture}`,
      { kind: 'invalid' },
    );
  return { ...manifest, platform };
}

/** @param prefix what Docker says before the cause */
function parsed(text: string, prefix?: string): Reference {
  try {
    return withDefaultTag(parseReference(text));
  } catch (error) {
    if (prefix === undefined || !(error instanceof HuskError)) throw error;
    throw new HuskError(`${prefix} ${text}: ${error.message}`, { kind: error.kind, cause: error });
  }
}
