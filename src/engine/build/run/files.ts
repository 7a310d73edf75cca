/** Files of husk's own that every step has, whatever runs it. */
import type { BuildRun } from '../../../build-sandbox.ts';
import type { Config } from '../../../config.ts';
import { hostsFile, resolvConfFile } from '../../../container/etc-files.ts';
import { DNS_FORWARDER, hostResolvConf } from '../../../network/way-out.ts';
import { resolverSettings } from '../../create/resolver-settings.ts';
import { BUILD_HOSTNAME } from './spec.ts';

const ETC_MODE = 0o644;
/** where the files of a here-document that is a program lie */
const PIPES = '/dev/pipes';
const PROGRAM_MODE = 0o755;

/** @returns contents by their paths in the container; what is written to them is thrown away */
export function stepFiles(
  { network, files }: BuildRun['operation'],
  hosts: NonNullable<BuildRun['hosts']>,
  config: Config,
): { path: string; content: string; mode: number; readOnly: boolean }[] {
  const settings = resolverSettings({ dns: [], dnsSearch: [], dnsOptions: [] }, config);
  const etc = { mode: ETC_MODE, readOnly: false };
  return [
    {
      path: '/etc/hosts',
      content: hostsFile({ hostname: BUILD_HOSTNAME, address: '127.0.0.1', extraHosts: hosts }),
      ...etc,
    },
    {
      path: '/etc/resolv.conf',
      content: resolvConfFile(hostResolvConf(), {
        ...settings,
        hostNetwork: network === 'host',
        fallback: network === 'default' ? [DNS_FORWARDER] : [],
      }),
      ...etc,
    },
    ...files.map(({ name, data }) => ({
      path: `${PIPES}/${name}`,
      content: data,
      mode: PROGRAM_MODE,
      readOnly: true,
    })),
  ];
}
