/** `DELETE /containers/X` and `POST /containers/prune` */
import { HuskError } from '../../../errors.ts';
import type { Handler } from '../../http/contract.ts';

export const remove: Handler = async ({ parameters, query }, engine) => {
  if (query.boolean('link'))
    throw new HuskError('link=1: husk has no links that could be removed by themselves', {
      kind: 'unsupported',
      fix: 'remove one of the two containers',
    });
  await engine.remove(parameters['name']!, { force: query.boolean('force'), volumes: query.boolean('v') });
  return { kind: 'empty', status: 204 };
};

const FILTERS = ['label', 'label!', 'until'];

export const prune: Handler = async ({ query }, engine) => {
  const { deleted, reclaimed } = await engine.prune({ filters: query.filters(FILTERS) });
  return {
    kind: 'json',
    status: 200,
    value: { ContainersDeleted: deleted.length > 0 ? deleted : null, SpaceReclaimed: reclaimed },
  };
};
