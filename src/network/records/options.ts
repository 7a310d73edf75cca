/**
 * The options of a network's driver (`-o key=value`), as values. Every key is known or refused: what cannot be done is
 * never taken in silence. Pure.
 */
import { HuskError } from '../../errors.ts';
import { parseIp } from '../../notation/ip.ts';
import { parseBool } from '../../notation/scalars.ts';

/** What a network's options say. */
export interface NetworkSettings {
  /** containers reach one another; without it only the gateway and published ports. @default true */
  neighbours: boolean;
  /** of published ports that name no address */
  hostBinding?: string;
  mtu?: number;
  /** 169.254/16 and fd00:ec2::254 are reached: clouds tell their guests' secrets there. @default false */
  metadata: boolean;
  /** families without a gateway on the bridge, and so without a way out */
  isolated: { ipv4: boolean; ipv6: boolean };
}

/** RFC 791: what every host must take; and a frame of which pasta's tap takes no larger one */
const MIN_MTU = 68;
const MAX_MTU = 65520;
/** include/uapi/linux/if.h: IFNAMSIZ, with its 0 */
const MAX_INTERFACE = 15;

const BRIDGE = 'com.docker.network.bridge.';

type Reader = (settings: NetworkSettings, value: string, key: string) => void;

/** A Map: an option named `constructor` is not one that every object has. */
const READERS = new Map<string, Reader>([
  [`${BRIDGE}enable_icc`, (settings, value, key) => void (settings.neighbours = readBool(key, value))],
  [
    `${BRIDGE}enable_ip_masquerade`,
    (_settings, value, key) => {
      if (!readBool(key, value))
        throw unsupported(
          `${key}=${value}: what leaves the network goes through a process of yours, which the world sees as this host`,
          'use --internal for a network without a way out',
        );
    },
  ],
  [
    `${BRIDGE}host_binding_ipv4`,
    (settings, value, key) => {
      if (parseIp(value)?.family !== 4) throw invalid(key, value, 'no IPv4 address');
      settings.hostBinding = value;
    },
  ],
  [
    `${BRIDGE}name`,
    // each network has a network namespace of its own, and its bridge no neighbours to be told from
    (_settings, value, key) => {
      if (value === '' || value.length > MAX_INTERFACE || /[\s/:]/.test(value))
        throw invalid(key, value, 'no name of an interface');
    },
  ],
  [`${BRIDGE}gateway_mode_ipv4`, (settings, value, key) => void (settings.isolated.ipv4 = readMode(key, value))],
  [`${BRIDGE}gateway_mode_ipv6`, (settings, value, key) => void (settings.isolated.ipv6 = readMode(key, value))],
  [
    'com.docker.network.driver.mtu',
    (settings, value, key) => {
      const mtu = /^\d{1,5}$/.test(value) ? Number(value) : 0;
      if (mtu < MIN_MTU || mtu > MAX_MTU) throw invalid(key, value, `not from ${MIN_MTU} to ${MAX_MTU}`);
      settings.mtu = mtu;
    },
  ],
  ['husk.metadata', (settings, value, key) => void (settings.metadata = readBool(key, value))],
]);

/** For completion: keys that `-o` takes. */
const NETWORK_OPTIONS: readonly string[] = [...READERS.keys()];

/** @throws HuskError `invalid` or `unsupported` that names the option */
export function networkSettings(options: Readonly<Record<string, string>>): NetworkSettings {
  const settings: NetworkSettings = { neighbours: true, metadata: false, isolated: { ipv4: false, ipv6: false } };
  for (const [key, value] of Object.entries(options)) {
    const read = READERS.get(key);
    if (!read)
      throw unsupported(`unknown option "${key}" of a network`, `known options: ${NETWORK_OPTIONS.join(', ')}`);
    read(settings, value, key);
  }
  return settings;
}

function readBool(key: string, value: string): boolean {
  try {
    return parseBool(value);
  } catch {
    throw invalid(key, value, 'neither true nor false');
  }
}

/** @returns whether it is `isolated` */
function readMode(key: string, value: string): boolean {
  if (value === 'nat' || value === '') return false;
  if (value === 'isolated') return true;
  if (value === 'routed' || value === 'nat-unprotected')
    throw unsupported(`${key}=${value}: only the host's root can make routes to containers`, 'use nat or isolated');
  throw invalid(key, value, 'use nat or isolated');
}

function invalid(key: string, value: string, why: string): HuskError {
  return new HuskError(`invalid option ${key}=${JSON.stringify(value)}: ${why}`, { kind: 'invalid' });
}

function unsupported(message: string, fix: string): HuskError {
  return new HuskError(message, { kind: 'unsupported', fix });
}
