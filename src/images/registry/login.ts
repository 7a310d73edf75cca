/**
 * Asks a registry whether it accepts credentials, before they are stored. Source: OCI distribution-spec, `GET /v2/`.
 */
import { HuskError } from '../../errors.ts';
import { VERSION } from '../../version.ts';
import { answeringBase } from './answering-base.ts';
import { Authorization } from './authorization.ts';
import type { Credentials } from '../store/contract.ts';
import { endpoints, type RegistryConfig } from './endpoints.ts';
import { readBody, Transport, type TransportResponse } from './transport.ts';

/** limit of bytes of an answer, which is read and discarded */
const MAX_ANSWER = 64 << 10;

/** @throws HuskError `unauthorized` with Docker's words when the credentials are refused */
export async function checkCredentials(
  host: string,
  credentials: Credentials,
  options: { config: RegistryConfig; env: NodeJS.ProcessEnv; signal?: AbortSignal },
): Promise<void> {
  const { signal } = options;
  // Mirrors are left out: they have credentials of their own.
  const endpoint = endpoints(host, { ...options.config, 'registry-mirrors': [] })[0]!;
  using transport = new Transport({ userAgent: `husk/${VERSION}`, env: options.env });
  const authorization = new Authorization({
    transport,
    host,
    insecure: endpoint.insecure,
    credentials: async () => credentials,
    signal,
  });
  const ask = (url: URL, headers: Record<string, string>): Promise<TransportResponse> =>
    transport.send({ method: 'GET', url, headers, unverifiedTls: endpoint.insecure, signal });
  const first = await answeringBase(endpoint, (url) => ask(url, {}), signal);
  await readBody(first.response, MAX_ANSWER);
  // A registry that asks for no credentials accepts any, as with Docker.
  if (first.response.status !== 401) return accepted(host, first.response.status);
  const header = await refusedAsDocker(
    host,
    authorization.answer(first.response.headers['www-authenticate'], '', undefined),
  );
  const second = await ask(new URL('v2/', first.base), { authorization: header });
  await readBody(second, MAX_ANSWER);
  if (second.status === 401 || second.status === 403) throw refused(host);
  accepted(host, second.status);
}

function accepted(host: string, status: number): void {
  if (status !== 200) throw new HuskError(`${host} answers a login with status ${status}`, { kind: 'unavailable' });
}

const refused = (host: string, cause?: unknown): HuskError =>
  new HuskError(`login attempt to ${host} failed: unauthorized: incorrect username or password`, {
    kind: 'unauthorized',
    cause,
  });

async function refusedAsDocker(host: string, header: Promise<string>): Promise<string> {
  try {
    return await header;
  } catch (error) {
    if (error instanceof HuskError && error.kind === 'unauthorized') throw refused(host, error);
    throw error;
  }
}
