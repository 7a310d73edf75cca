/**
 * Opens the CLI's engine through the library, whose first user the CLI is. The library is loaded on first use: `husk
 * --version` and help pages never load it.
 */
import type { Engine, Finding } from '../engine/contract.ts';

export interface EngineOptions {
  dataRoot?: string;
  configFile?: string;
}

export async function openEngine(options: EngineOptions): Promise<Engine> {
  return (await (await import('../library/husk.ts')).Husk.open(options)).engine;
}

export async function* checkSystem(
  options: EngineOptions & { repair: boolean; stop: boolean },
): AsyncGenerator<Finding> {
  yield* (await import('../engine/assembly/engine.ts')).checkSystem(options);
}
