/** Where the CLI gets its engine. Loaded on first use: `husk --version` and help pages never do. */
import type { Engine } from '../engine/contract.ts';

export interface EngineOptions {
  dataRoot?: string;
  configFile?: string;
}

export async function openEngine(options: EngineOptions): Promise<Engine> {
  return (await import('../engine/engine.ts')).openEngine(options);
}
