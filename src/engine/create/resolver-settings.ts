/** What `--dns`, `--dns-search` and `--dns-option` say, or else the config. Pure. */
import type { Config } from '../../config.ts';
import type { CreateRequest } from '../request/request.ts';

export function resolverSettings(
  request: Pick<CreateRequest, 'dns' | 'dnsSearch' | 'dnsOptions'>,
  config: Config,
): { dns: string[]; search: string[]; options: string[] } {
  const or = (asked: string[], configured: string[] | undefined) => (asked.length > 0 ? asked : (configured ?? []));
  return {
    dns: or(request.dns, config.dns),
    search: or(request.dnsSearch, config['dns-search']),
    options: or(request.dnsOptions, config['dns-opts']),
  };
}
