/** `POST /containers/create` */
import type { CreateOptions, Engine } from '../../../engine/contract.ts';
import { HuskError } from '../../../errors.ts';
import type { Handler } from '../../http/contract.ts';
import { createOptions } from './create/options.ts';

export const create: Handler = async ({ query, body, version, signal }, engine) => {
  const asked = { name: query.text('name'), platform: query.text('platform'), version };
  const { id, warnings } = await made(engine, createOptions(await body.json(), asked), signal);
  return { kind: 'json', status: 201, value: { Id: id, Warnings: warnings } };
};

/**
 * Docker's client takes any 404 for a missing image and pulls it, so that only that is one: a network or a container
 * which is not there is what cannot be right in the request.
 */
async function made(engine: Engine, options: CreateOptions, signal: AbortSignal): ReturnType<Engine['create']> {
  try {
    return await engine.create(options, { signal });
  } catch (error) {
    const isImage = error instanceof HuskError && /^No such image: |^image with reference /.test(error.message);
    if (!(error instanceof HuskError) || error.kind !== 'not-found' || isImage) throw error;
    throw new HuskError(error.message, { kind: 'invalid', fix: error.fix, cause: error });
  }
}
