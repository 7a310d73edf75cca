/**
 * Finds which of an endpoint's URLs speaks the registry's protocol, because an insecure host may have TLS or not. It
 * sends `GET /v2/` in the endpoint's order and without credentials, so that a password is never sent in the clear to a
 * host that has TLS.
 *
 * Source: OCI distribution-spec, `GET /v2/`.
 */
import { HuskError } from '../../errors.ts';
import type { Endpoint } from './endpoints.ts';
import type { TransportResponse } from './transport.ts';

/**
 * @param ask sends `GET` without credentials
 * @returns the base that answers, and its answer with a body that the caller reads or destroys
 * @throws the first base's failure, when no base answers as a registry does
 */
export async function answeringBase(
  { bases, host }: Endpoint,
  ask: (url: URL) => Promise<TransportResponse>,
  signal?: AbortSignal,
): Promise<{ base: URL; response: TransportResponse }> {
  let failure: unknown;
  for (const base of bases) {
    try {
      const response = await ask(new URL('v2/', base));
      // A TLS port answers plain HTTP with 400, which is no registry's answer.
      if (response.status === 200 || response.status === 401) return { base, response };
      response.body.destroy();
      failure ??= new HuskError(
        `${host} is not a registry: ${base.protocol}//…/v2/ answers with status ${response.status}`,
        { kind: 'unavailable' },
      );
    } catch (error) {
      if (signal?.aborted) throw error;
      failure ??= error;
    }
  }
  throw failure;
}
