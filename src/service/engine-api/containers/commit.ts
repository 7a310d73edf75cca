/** `POST /commit`: an image of a container as it is. */
import { HuskError } from '../../../errors.ts';
import type { Handler } from '../../http/contract.ts';
import { commitConfig } from './commit-config.ts';

export const commit: Handler = async ({ query, body }, engine) => {
  const { id } = engine.get(query.text('container') ?? '');
  const [repository, tag] = [query.text('repo'), query.text('tag')];
  if (repository === undefined && tag !== undefined)
    throw new HuskError('invalid reference format: a tag without a repo', { kind: 'invalid' });
  const image = await engine.commit(id, {
    reference: repository === undefined ? undefined : `${repository}${tag === undefined ? '' : `:${tag}`}`,
    author: query.text('author'),
    message: query.text('comment'),
    config: commitConfig(await body.json()),
    changes: query.all('changes').flatMap((text) => text.split('\n')),
    pause: query.boolean('pause', true),
  });
  return { kind: 'json', status: 201, value: { Id: image.id } };
};
