/**
 * Where the RUN steps of a build run, by the rules of any container (src/engine/create/isolation.ts): `vm` asked for by
 * name never becomes anything else, `auto` takes virtual machines where this host runs them well and they can do what
 * the flags ask for.
 */
import type { Config } from '../../../config.ts';
import { EXIT_HUSK_FAILED, HuskError } from '../../../errors.ts';
import { machineProblem } from '../../../network/way-out.ts';
import type { Paths } from '../../../paths.ts';
import type { Isolation } from '../../../sandbox.ts';
import type { KvmVerdict } from '../../../vmm/boot/verdict.ts';
import type { BuildOptions } from '../../build-contract.ts';

type Asked = Pick<BuildOptions, 'isolation' | 'network' | 'allow'>;

/** Tests have their own. */
export interface IsolationHost {
  verdict: (paths: Pick<Paths, 'dataRoot'>) => Promise<KvmVerdict>;
  networkProblem: () => HuskError | undefined;
}

const HERE: IsolationHost = {
  verdict: async (paths) => (await import('../../../vmm/boot/verdict.ts')).kvmVerdict(paths),
  networkProblem: () => machineProblem([{ internal: false }]),
};

/**
 * @returns the isolation, and what the person is told when `auto` did not take virtual machines though they are there
 * @throws HuskError `unsupported`
 */
export async function chooseBuildIsolation(
  asked: Asked,
  { paths, config }: { paths: Pick<Paths, 'dataRoot'>; config: Pick<Config, 'default-isolation'> },
  host: IsolationHost = HERE,
): Promise<{ isolation: Isolation; warning?: string }> {
  const wanted = asked.isolation === 'auto' ? (config['default-isolation'] ?? 'auto') : asked.isolation;
  if (wanted === 'userns') return { isolation: 'userns' };
  const lacking = lackingInMachines(asked);
  if (wanted === 'vm') {
    if (lacking !== undefined)
      throw new HuskError(`${lacking} is not possible with --isolation=vm: ${NOTHING_SHARED}`, {
        kind: 'unsupported',
        exitCode: EXIT_HUSK_FAILED,
        fix: 'use --isolation=userns',
      });
    const { instructionsPerSecond, reason } = await host.verdict(paths);
    // Slow is no reason when it was asked for by name.
    if (instructionsPerSecond === 0)
      throw new HuskError(`cannot run steps in a virtual machine: ${reason}`, {
        kind: 'unsupported',
        exitCode: EXIT_HUSK_FAILED,
        fix: 'see husk doctor, or use --isolation=userns',
      });
    return { isolation: 'vm' };
  }
  if (!(await host.verdict(paths)).fit) return { isolation: 'userns' };
  const problem = asked.network === 'default' ? host.networkProblem() : undefined;
  const why =
    lacking === undefined
      ? problem && `${problem.message}${problem.fix === undefined ? '' : ` (fix: ${problem.fix})`}`
      : `${lacking}: ${NOTHING_SHARED}`;
  if (why === undefined) return { isolation: 'vm' };
  return { isolation: 'userns', warning: `RUN steps run in user namespaces, not in virtual machines: ${why}` };
}

/** why a machine lacks something */
export const NOTHING_SHARED = 'a virtual machine shares no namespaces with the host';

function lackingInMachines({ network, allow }: Asked): string | undefined {
  if (network === 'host') return '--network host';
  return allow.includes('network.host') ? '--allow network.host' : undefined;
}
