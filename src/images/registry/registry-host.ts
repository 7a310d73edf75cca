/**
 * The registry of `login`, `logout` and the API's /auth: a host, in any spelling; the hub when none was typed. The
 * function is pure.
 */
import { HuskError } from '../../errors.ts';
import { DEFAULT_DOMAIN } from '../store/reference.ts';

/** Parses `https://index.docker.io/v1/`, `docker.io`, `localhost:5000/`, `host`. */
export function registryHost(text: string | undefined): string {
  if (text === undefined || text === '') return DEFAULT_DOMAIN;
  const host = text.replace(/^https?:\/\//, '').replace(/\/.*$/, '');
  if (host === `index.${DEFAULT_DOMAIN}` || host === `registry-1.${DEFAULT_DOMAIN}`) return DEFAULT_DOMAIN;
  if (!/^(?:\[[0-9a-fA-F:]+\]|[a-zA-Z0-9][a-zA-Z0-9.-]*)(?::\d{1,5})?$/.test(host))
    throw new HuskError(`${JSON.stringify(text)} is not a registry`, {
      kind: 'invalid',
      fix: 'name a host, such as localhost:5000',
    });
  return host;
}
