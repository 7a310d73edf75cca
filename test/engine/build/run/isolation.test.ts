/** Where a build's steps run, by flags, config and host. */
import test from 'ava';
import { chooseBuildIsolation } from '../../../../src/engine/build/run/isolation.ts';
import { HuskError } from '../../../../src/errors.ts';

const FIT = { fit: true, reason: '', instructionsPerSecond: 1e9 };
const SLOW = { fit: false, reason: 'it is slow', instructionsPerSecond: 1e6 };
const NONE = { fit: false, reason: 'this host has no /dev/kvm', instructionsPerSecond: 0 };
const noTun = new HuskError('no tun', { kind: 'unsupported', fix: 'modprobe tun' });

interface Case {
  asked?: Partial<Parameters<typeof chooseBuildIsolation>[0]>;
  config?: 'auto' | 'vm' | 'userns';
  verdict?: typeof FIT;
  network?: HuskError;
}

async function chosen({ asked = {}, config, verdict = FIT, network }: Case): Promise<string> {
  try {
    const { isolation, warning } = await chooseBuildIsolation(
      { isolation: 'auto', network: 'default', allow: [], ...asked },
      { paths: { dataRoot: '/nowhere' }, config: { ...(config && { 'default-isolation': config }) } },
      { verdict: async () => verdict, networkProblem: () => network },
    );
    return warning === undefined ? isolation : `${isolation}: ${warning}`;
  } catch (error) {
    return `refused: ${(error as Error).message}`;
  }
}

const TOLD = 'userns: RUN steps run in user namespaces, not in virtual machines: ';
const SHARES = 'a virtual machine shares no namespaces with the host';
for (const [what, given, expected] of [
  ['auto on a host with KVM', {}, 'vm'],
  ['auto on a slow host', { verdict: SLOW }, 'userns'],
  ['auto on a host without', { verdict: NONE }, 'userns'],
  ['userns by name', { asked: { isolation: 'userns' } }, 'userns'],
  ['vm by name on a slow host', { asked: { isolation: 'vm' }, verdict: SLOW }, 'vm'],
  [
    'vm by name on a host without',
    { asked: { isolation: 'vm' }, verdict: NONE },
    'refused: cannot run steps in a virtual machine: this host has no /dev/kvm',
  ],
  ['the config says userns', { config: 'userns' }, 'userns'],
  ['the config says vm, on a slow host', { config: 'vm', verdict: SLOW }, 'vm'],
  ['the flag goes before the config', { config: 'vm', asked: { isolation: 'userns' } }, 'userns'],
  ['auto on the host network', { asked: { network: 'host' } }, `${TOLD}--network host: ${SHARES}`],
  [
    'vm, where a step may be on the host network',
    { asked: { allow: ['network.host'], isolation: 'vm' } },
    `refused: --allow network.host is not possible with --isolation=vm: ${SHARES}`,
  ],
  ['auto with security.insecure', { asked: { allow: ['security.insecure'] } }, 'vm'],
  ['auto without a tap', { network: noTun }, `${TOLD}no tun (fix: modprobe tun)`],
  ['auto without a tap, which nothing needs', { network: noTun, asked: { network: 'none' } }, 'vm'],
] as [string, Case, string][])
  test(what, async (t) => {
    t.is(await chosen(given), expected);
  });
