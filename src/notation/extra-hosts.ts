/**
 * `--add-host`: lines that a user adds to /etc/hosts. Source: docker/cli opts/hosts.go ValidateExtraHost. The parser is
 * pure.
 */
import { isIP } from 'node:net';

/** Docker's word for the host's address */
export const HOST_GATEWAY = 'host-gateway';

export interface ExtraHost {
  name: string;
  /** an address, or `host-gateway` */
  ip: string;
}

/** Parses `name:ip`, `name=ip`, `name:[v6]`, `name:host-gateway`. @throws Error in Docker's words */
export function parseExtraHost(text: string): ExtraHost {
  const [, name = '', address = ''] = /^([^:=]*)[:=](.*)$/s.exec(text) ?? [];
  const ip = address.replace(/^\[(.*)\]$/, '$1');
  // A space or a hash in a name would end the name in /etc/hosts.
  if (name === '' || /[\s#]/.test(name)) throw new Error(`bad format for add-host: ${JSON.stringify(text)}`);
  if (ip !== HOST_GATEWAY && isIP(ip) === 0) throw new Error(`invalid IP address in add-host: ${JSON.stringify(ip)}`);
  return { name, ip };
}
