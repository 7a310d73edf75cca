/** Where the CLI gets its engine. Loaded on first use: `husk --version` and help pages never do. */
import { HuskError } from '../errors.ts';
import type { Engine } from '../engine/contract.ts';

export interface EngineOptions {
  dataRoot?: string;
  configFile?: string;
}

export async function openEngine(_options: EngineOptions): Promise<Engine> {
  throw new HuskError('the engine is not here yet', { kind: 'unsupported' });
}
