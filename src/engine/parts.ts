/** The real rooms behind the engine, each loaded when first needed: what `EngineParts` stands for outside tests. */
import { writeFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import type { DatabaseSync } from 'node:sqlite';
import type { Config } from '../config.ts';
import type { Spec } from '../container/spec.ts';
import { HuskError } from '../errors.ts';
import type { Image, Images } from '../images/contract.ts';
import type { Paths } from '../paths.ts';
import type { Volumes } from '../volumes/contract.ts';
import type { EngineContext } from './context.ts';
import type { Container } from './contract.ts';
import { specFile } from './exec.ts';

export async function spec(context: EngineContext, container: Container): Promise<Spec> {
  const [{ buildSpec }, { hostFacts }] = await Promise.all([import('./spec/build.ts'), import('./host-facts.ts')]);
  const { spec: built } = buildSpec(container.id, container.config, hostFacts(context, container));
  // exec inherits from what the container was really started with
  writeFileSync(specFile(context, container.id), JSON.stringify(built), { mode: 0o600 });
  return built;
}

export function images(_database: DatabaseSync, _paths: Paths, _config: Config): Images {
  throw new HuskError('the image room is not here yet', { kind: 'unsupported' });
}

export async function volumes(_context: EngineContext): Promise<Volumes> {
  throw new HuskError('the volume room is not here yet', { kind: 'unsupported' });
}

export async function unpacked(_context: EngineContext, image: Image): Promise<string[]> {
  throw new HuskError(`cannot unpack ${image.id} yet`, { kind: 'unsupported' });
}

export async function writableSize(_context: EngineContext, _id: string): Promise<number> {
  return 0;
}

/** A tar of the whole file system. */
export async function exportContainer(_context: EngineContext, container: Container): Promise<Readable> {
  throw new HuskError(`cannot export ${container.id} yet`, { kind: 'unsupported' });
}
