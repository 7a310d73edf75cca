/**
 * Flags that parse, and commands that are known, but whose feature is not there yet. Each is refused in one line. An
 * issue that brings the feature deletes its line here.
 */
import { HuskError } from '../../errors.ts';
import { joinedContainer } from '../../notation/modes.ts';
import type { FlagSet } from './flag-set.ts';

const NOT_YET: Record<string, string> = {
  publish: 'publishing ports',
  'publish-all': 'publishing ports',
  ip: 'addresses on networks of your own',
  ip6: 'addresses on networks of your own',
  'link-local-ip': 'addresses on networks of your own',
  'mac-address': 'addresses on networks of your own',
  'network-alias': 'aliases on networks of your own',
  link: 'links between containers',
  'use-api-socket': 'the socket of the Engine API',
};

/** Commands of Docker's that come with later issues: named apart from slips of the fingers. */
export const COMMANDS_NOT_YET: ReadonlySet<string> = new Set(['build', 'network', 'search', 'serve', 'image build']);

/** Networks that exist today, besides another container's; a network of one's own comes with the network issue. */
const NETWORKS = ['default', 'bridge', 'host', 'none'];

/** @throws HuskError `unsupported` for the first flag given whose feature is missing */
export function refuseNotYet(flags: FlagSet): void {
  for (const [name, feature] of Object.entries(NOT_YET)) {
    if (!flags.has(name) || !flags.changed(name)) continue;
    throw new HuskError(`--${name}: ${feature} is not there yet in this husk`, {
      kind: 'unsupported',
      exitCode: 125,
      fix: `leave --${name} out`,
    });
  }
  for (const network of flags.has('network') ? flags.list('network') : []) {
    if (NETWORKS.includes(network) || joinedContainer(network)) continue;
    throw new HuskError(`--network ${network}: networks of your own are not there yet in this husk`, {
      kind: 'unsupported',
      exitCode: 125,
      fix: 'use --network none, host, bridge or container:NAME',
    });
  }
}
