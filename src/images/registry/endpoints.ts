/**
 * Where a reference's host is reached: mirrors first (docker.io only), then the host itself; and which of them may be
 * reached over plain HTTP or unverified TLS. These functions are pure.
 */
import { HuskError } from '../../errors.ts';
import { DEFAULT_DOMAIN } from '../store/reference.ts';

/** the host that serves docker.io's images */
const HUB_HOST = 'registry-1.docker.io';

export interface Endpoint {
  /** name by which credentials are looked up, and which errors show */
  host: string;
  /** URLs, tried in this order; more than one only where the endpoint is insecure */
  bases: URL[];
  insecure: boolean;
}

/**
 * @returns whether Docker's own exception applies: 127.0.0.0/8, ::1 and localhost need no entry in
 * `insecure-registries`
 */
function isLoopback(host: string): boolean {
  const name = host.replace(/:\d+$/, '');
  return name === 'localhost' || name === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(name);
}

export interface RegistryConfig {
  'insecure-registries'?: string[];
  'registry-mirrors'?: string[];
}

function endpointOf(host: string, config: RegistryConfig): Endpoint {
  const insecure = isLoopback(host) || (config['insecure-registries'] ?? []).includes(host);
  const address = host === DEFAULT_DOMAIN ? HUB_HOST : host;
  const [https, http] = [new URL(`https://${address}/`), new URL(`http://${address}/`)];
  // TLS is tried first, as in Docker, so that a registry that has it never gets a password in the clear.
  return { host, bases: insecure ? [https, http] : [https], insecure };
}

/**
 * @returns where to reach the domain, in order
 * @throws HuskError `invalid` for a mirror that is no http(s) URL
 */
export function endpoints(domain: string, config: RegistryConfig): Endpoint[] {
  const own = endpointOf(domain, config);
  if (domain !== DEFAULT_DOMAIN) return [own];
  const mirrors = (config['registry-mirrors'] ?? []).map((text): Endpoint => {
    let url: URL;
    try {
      url = new URL(text.endsWith('/') ? text : `${text}/`);
    } catch (error) {
      throw new HuskError(`registry-mirrors: "${text}" is not a URL`, { kind: 'invalid', cause: error });
    }
    if ((url.protocol !== 'https:' && url.protocol !== 'http:') || url.username || url.search || url.hash)
      throw new HuskError(`registry-mirrors: "${text}" must be a plain http or https URL`, { kind: 'invalid' });
    // A mirror that was named with http:// is insecure by choice, as in Docker.
    return {
      host: url.host,
      bases: [url],
      insecure:
        url.protocol === 'http:' || isLoopback(url.host) || (config['insecure-registries'] ?? []).includes(url.host),
    };
  });
  return [...mirrors, own];
}
