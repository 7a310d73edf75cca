/**
 * `--network`, and the flags that belong to the first network: `--network-alias --ip --ip6 --mac-address --link
 * --link-local-ip`. Source: docker/cli cli/command/container/opts.go applyContainerOptions.
 */
import type { CreateOptions } from '../../engine/contract.ts';
import { EXIT_HUSK_FAILED, HuskError } from '../../errors.ts';
import { readNetworkMode } from '../../notation/modes.ts';
import type { NetworkAttachment } from '../../notation/network-attachment.ts';
import type { FlagSet } from './flag-set.ts';

/** a flag, the key that means the same in a long `--network`, and its name in Docker's words */
const OF_THE_FIRST = [
  ['network-alias', 'aliases', 'alias'],
  ['link', 'links', 'links'],
  ['ip', 'ipv4', 'IPv4 address'],
  ['ip6', 'ipv6', 'IPv6 address'],
  ['mac-address', 'mac', 'MAC address'],
  ['link-local-ip', 'linkLocal', 'link-local IP addresses'],
] as const;

/** @throws HuskError `invalid` in the words of Docker's client */
export function networkOptions(flags: FlagSet): Pick<CreateOptions, 'network' | 'networks' | 'links'> {
  const typed = flags.items<NetworkAttachment>('network');
  const [first = { name: 'default' }, ...more] = typed;
  const { kind } = readNetworkMode(first.name);
  const isOwn = kind === 'named' && first.name !== 'bridge';
  const added: Partial<Record<(typeof OF_THE_FIRST)[number][1], string | string[]>> = {};
  for (const [flag, key, words] of OF_THE_FIRST) {
    const list = ['aliases', 'links', 'linkLocal'].includes(key);
    const value = list ? flags.list(flag) : flags.optional(flag);
    if (value === undefined || value.length === 0) continue;
    if (first[key] !== undefined)
      throw new HuskError(`conflicting options: cannot specify both --${flag} and per-network ${words}`, {
        kind: 'invalid',
        exitCode: EXIT_HUSK_FAILED,
      });
    added[key] = value;
  }
  const { links, ...rest } = added as Partial<NetworkAttachment>;
  const merged: NetworkAttachment = { ...first, ...rest, ...(isOwn && links && { links }) };
  const isPlain = more.length === 0 && Object.keys(merged).length === 1;
  return {
    network: first.name,
    ...(!isPlain && { networks: [merged, ...more] }),
    ...(!isOwn && links && { links }),
  };
}
