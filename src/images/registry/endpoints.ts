/**
 * Where a reference's host is reached: mirrors first (docker.io only), then the host itself; which of them may be
 * spoken to over plain HTTP or unverified TLS. Pure.
 */
import { HuskError } from '../../errors.ts';
import { DEFAULT_DOMAIN } from '../store/reference.ts';

/** the host that serves docker.io's images */
const HUB_HOST = 'registry-1.docker.io';

export interface Endpoint {
  /** what credentials are looked up for, and shown in errors */
  host: string;
  /** tried in this order; more than one only where it is insecure */
  bases: URL[];
  insecure: boolean;
}

/** Docker's own exception: 127.0.0.0/8, ::1 and localhost need no entry in `insecure-registries` */
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
  // As Docker: TLS first, so that a registry that has it never gets a password in the clear.
  return { host, bases: insecure ? [https, http] : [https], insecure };
}

/** @throws HuskError `invalid` for a mirror that is no http(s) URL */
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
    // Docker: a mirror named with http:// has been chosen as such
    return {
      host: url.host,
      bases: [url],
      insecure:
        url.protocol === 'http:' || isLoopback(url.host) || (config['insecure-registries'] ?? []).includes(url.host),
    };
  });
  return [...mirrors, own];
}
