/**
 * The value of `--network`: a name, or `name=N,alias=A,ip=…` with what the container gets on that network. Source:
 * docker/cli opts/network.go. The parsers are pure.
 */
import { parseCsvRecord } from './quoting.ts';

/** The fields of `--network`, as text; addresses, for instance, are parsed by their users. */
export interface NetworkAttachment {
  /** name or id of a network, or a mode: host, none, container:NAME */
  name: string;
  aliases?: string[];
  links?: string[];
  ipv4?: string;
  ipv6?: string;
  mac?: string;
  linkLocal?: string[];
  gatewayPriority?: number;
  driverOptions?: Record<string, string>;
}

/**
 * Docker's test for the long form, a Go regular expression that may match anywhere: `a=b` is the long form, `=b` a
 * name.
 */
const LONG = /\w+=\w+/;

/** @throws Error in Docker's words */
export function parseNetworkAttachment(text: string): NetworkAttachment {
  if (!LONG.test(text)) return { name: text };
  const attachment: NetworkAttachment = { name: '' };
  for (const field of parseCsvRecord(text)) {
    const [, key = '', value] = /^([^=]*)(?:=(.*))?$/s.exec(field) ?? [];
    if (value === undefined || key === '') throw new Error(`invalid field ${field}`);
    put(attachment, key.trim().toLowerCase(), value.trim());
  }
  if (attachment.name === '') throw new Error('network name/id is not specified');
  return attachment;
}

function put(attachment: NetworkAttachment, key: string, value: string): void {
  switch (key) {
    case 'name':
      attachment.name = value;
      break;
    case 'alias':
      attachment.aliases = [...(attachment.aliases ?? []), value];
      break;
    case 'ip':
      attachment.ipv4 = value;
      break;
    case 'ip6':
      attachment.ipv6 = value;
      break;
    case 'mac-address':
      attachment.mac = value;
      break;
    case 'link-local-ip':
      attachment.linkLocal = [...(attachment.linkLocal ?? []), value];
      break;
    case 'driver-opt': {
      const [, option = '', setting] = /^([^=]*)(?:=(.*))?$/s.exec(value) ?? [];
      if (setting === undefined || option === '') throw new Error('invalid key value pair format in driver options');
      attachment.driverOptions = { ...attachment.driverOptions, [option]: setting };
      break;
    }
    case 'gw-priority':
      // The number has the form that Go's Atoi accepts.
      if (!/^[+-]?\d{1,18}$/.test(value)) throw new Error(`invalid gw-priority (${value}): invalid syntax`);
      attachment.gatewayPriority = Number(value);
      break;
    default:
      throw new Error(`invalid field key ${key}`);
  }
}

/** Parses `container:alias`, `container`. @throws Error in Docker's words */
export function parseLink(text: string): { container: string; alias: string } {
  if (text === '') throw new Error('empty string specified for links');
  const parts = text.split(':');
  if (parts.length > 2) throw new Error(`bad format for links: ${text}`);
  const [container = '', alias = container] = parts;
  return { container, alias: alias === '' ? container : alias };
}
