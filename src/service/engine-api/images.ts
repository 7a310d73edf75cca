/** Images that are here: listed, looked at, named and removed. */
import type { Engine } from '../../engine/contract.ts';
import type { Image } from '../../images/store/contract.ts';
import { imageHistory } from '../../images/store/history.ts';
import { createdAt, imageFilter, isListed, namesFilter } from '../../images/store/image-filters.ts';
import { HuskError } from '../../errors.ts';
import type { Answer, ApiVersion, Call, Route } from '../http/contract.ts';
import { distributionRoutes } from './distribution.ts';
import { searchRoutes } from './search.ts';
import { transferRoutes } from './transfer.ts';
import { requireAsked } from './transfer/platforms.ts';
import { joinReference } from './transfer/reference.ts';

const MS_PER_SECOND = 1000;
const LIST_FILTERS = ['dangling', 'label', 'before', 'since', 'reference', 'until'];
const PRUNE_FILTERS = ['dangling', 'label', 'label!', 'until'];

/**
 * since these minors of 1.x: a count of containers; empty lists for no name; no VirtualSize; no `filter` in the query
 */
const COUNTS_CONTAINERS = 51;
const HAS_EMPTY_NAMES = 43;
const WITHOUT_VIRTUAL_SIZE = 44;
const WITHOUT_LEGACY_FILTER = 41;

function list({ query, version }: Call, engine: Engine): Answer {
  const filters = query.filters(LIST_FILTERS);
  const legacy = version.minor < WITHOUT_LEGACY_FILTER ? query.text('filter') : undefined;
  if (legacy !== undefined) (filters['reference'] ??= []).push(legacy);
  const { images } = engine;
  const wanted = imageFilter(filters, { now: Date.now(), find: (name) => images.get(name) });
  const names = namesFilter(filters);
  const all = images.list();
  const shared = query.boolean('shared-size') ? sharedSizes(all) : undefined;
  const value = all
    .filter((image) => query.boolean('all') || isListed(image))
    .filter(wanted)
    .sort((a, b) => createdAt(b) - createdAt(a))
    .map((image) => ({
      ...summary({ ...image, ...names(image) }, version),
      SharedSize: shared?.get(image.id) ?? -1,
      Containers: version.minor < COUNTS_CONTAINERS ? -1 : engine.imageUsers(image.id).length,
    }));
  return { kind: 'json', status: 200, value };
}

/** Also of `GET /system/df`, which adds the counts. */
export function summary(image: Image, { minor }: ApiVersion): object {
  const nameless = minor < HAS_EMPTY_NAMES && image.repoTags.length === 0 && image.repoDigests.length === 0;
  return {
    Id: image.id,
    ParentId: '',
    RepoTags: nameless ? ['<none>:<none>'] : image.repoTags,
    RepoDigests: nameless ? ['<none>@<none>'] : image.repoDigests,
    Created: Math.floor(createdAt(image) / MS_PER_SECOND),
    Size: image.size,
    ...(minor < WITHOUT_VIRTUAL_SIZE && { VirtualSize: image.size }),
    Labels: image.config.config?.Labels ?? null,
  };
}

/** @returns bytes of layers that another image has too, by image */
function sharedSizes(images: readonly Image[]): Map<string, number> {
  const users = new Map<string, number>();
  for (const { layers } of images)
    for (const diffId of new Set(layers.map((layer) => layer.diffId))) users.set(diffId, (users.get(diffId) ?? 0) + 1);
  return new Map(
    images.map(({ id, layers }) => [
      id,
      layers.reduce((sum, { diffId, size }) => sum + (users.get(diffId)! > 1 ? size : 0), 0),
    ]),
  );
}

function inspect({ parameters, query, version }: Call, engine: Engine): Answer {
  const name = parameters['name']!;
  requireAsked(engine.images, [name], query);
  const value = engine.inspectImage(name) as { Size: number };
  const older = version.minor < WITHOUT_VIRTUAL_SIZE ? { VirtualSize: value.Size } : {};
  return { kind: 'json', status: 200, value: { ...value, ...older } };
}

function history({ parameters, query }: Call, { images }: Engine): Answer {
  const name = parameters['name']!;
  requireAsked(images, [name], query);
  const image = images.get(name);
  const value = imageHistory(image).map(({ created, createdBy, comment, size }, index) => ({
    Id: index === 0 ? image.id : '<missing>',
    Created: Math.floor((created ?? 0) / MS_PER_SECOND),
    CreatedBy: createdBy,
    Tags: index === 0 && image.repoTags.length > 0 ? image.repoTags : null,
    Size: size,
    Comment: comment,
  }));
  return { kind: 'json', status: 200, value };
}

function tag({ parameters, query }: Call, { images }: Engine): Answer {
  images.tag(parameters['name']!, joinReference(query.text('repo') ?? '', query.text('tag')));
  return { kind: 'empty', status: 201 };
}

function remove({ parameters, query }: Call, engine: Engine): Answer {
  const name = parameters['name']!;
  // of each image one platform is kept: with it the image goes
  requireAsked(engine.images, [name], query, 'platforms');
  const { untagged, deleted } = engine.images.remove(name, {
    force: query.boolean('force'),
    noPrune: query.boolean('noprune'),
    inUse: (id) => engine.imageUsers(id),
  });
  return { kind: 'json', status: 200, value: removed(untagged, deleted) };
}

const removed = (untagged: readonly string[], deleted: readonly string[]): object[] => [
  ...untagged.map((Untagged) => ({ Untagged })),
  ...deleted.map((Deleted) => ({ Deleted })),
];

function prune({ query }: Call, engine: Engine): Answer {
  const { dangling, ...filters } = query.filters(PRUNE_FILTERS);
  const { deleted, untagged, reclaimed } = engine.images.prune({
    all: !danglingOnly(dangling),
    inUse: (id) => engine.imageUsers(id).length > 0,
    filters: imageFilter(filters, { now: Date.now(), find: (name) => engine.images.get(name), pruning: true }),
  });
  return {
    kind: 'json',
    status: 200,
    value: { ImagesDeleted: removed(untagged, deleted), SpaceReclaimed: reclaimed },
  };
}

/** @returns whether only images without a name go. @default true. @throws HuskError `invalid` with Docker's text */
function danglingOnly(values: readonly string[] = []): boolean {
  const isTrue = values.some((value) => value === '1' || value === 'true');
  const isFalse = values.some((value) => value === '0' || value === 'false');
  if (isTrue === isFalse && values.length > 0)
    throw new HuskError(`invalid filter 'dangling=[${values.join(' ')}]'`, { kind: 'invalid' });
  return !isFalse;
}

export const imageRoutes: readonly Route[] = [
  { method: 'GET', path: '/images/json', handler: list },
  { method: 'POST', path: '/images/prune', handler: prune },
  ...searchRoutes,
  ...transferRoutes,
  ...distributionRoutes,
  { method: 'GET', path: '/images/{name*}/json', handler: inspect },
  { method: 'GET', path: '/images/{name*}/history', handler: history },
  { method: 'POST', path: '/images/{name*}/tag', handler: tag },
  { method: 'DELETE', path: '/images/{name*}', handler: remove },
];
