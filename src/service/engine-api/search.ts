/** `GET /images/search`: repositories that a registry finds by a term. */
import { HuskError } from '../../errors.ts';
import type { Engine } from '../../engine/contract.ts';
import { DEFAULT_LIMIT, MAX_LIMIT, searchFilter } from '../../images/registry/search-filter.ts';
import type { Answer, Call, Route } from '../http/contract.ts';
import { lenientRegistryAuth } from './transfer/registry-auth.ts';

const FILTERS = ['is-official', 'is-automated', 'stars'];

async function search({ query, headers, signal }: Call, { images }: Engine): Promise<Answer> {
  const limit = query.integer('limit') || DEFAULT_LIMIT;
  if (limit < 1 || limit > MAX_LIMIT)
    throw new HuskError(`limit ${limit} is outside the range of [1, ${MAX_LIMIT}]`, { kind: 'invalid' });
  const matches = searchFilter(query.filters(FILTERS));
  const { results } = await images.search(query.text('term') ?? '', {
    limit,
    credentials: lenientRegistryAuth(headers),
    signal,
  });
  const value = results.filter(matches).map(({ name, description, stars, official }) => ({
    description,
    is_official: official,
    // registries have stopped to say it
    is_automated: false,
    name,
    star_count: stars,
  }));
  return { kind: 'json', status: 200, value };
}

export const searchRoutes: readonly Route[] = [{ method: 'GET', path: '/images/search', handler: search }];
