/** The base image and the options that tests of the planner begin with. */
import type { PlanOptions } from '../../../../src/images/build/operations.ts';
import type { ImageConfig } from '../../../../src/images/store/contract.ts';

/** the config of the golden cases' base image */
export const BOX: ImageConfig = {
  architecture: 'amd64',
  os: 'linux',
  created: '2020-01-01T00:00:00Z',
  config: { Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'], Cmd: ['sh'] },
  rootfs: { type: 'layers', diff_ids: [`sha256:${'1'.repeat(64)}`] },
  history: [{ created_by: 'box' }],
};

export function planOptions(more: Partial<PlanOptions> = {}): PlanOptions {
  return {
    buildArgs: new Map(),
    target: undefined,
    platform: { os: 'linux', architecture: 'amd64' },
    contexts: new Map(),
    baseConfig: async () => BOX,
    ...more,
  };
}
