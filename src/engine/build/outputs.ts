/**
 * Where the result of a build goes: into the image store, into a folder of the caller's, into an archive, and from the
 * store to registries.
 */
import { join } from 'node:path';
import { causeOf, HuskError } from '../../errors.ts';
import type { BuildStore, ImageConfig, Images, Layer } from '../../images/store/contract.ts';
import { fullReference, parseReference, withDefaultTag } from '../../images/store/reference.ts';
import type { EngineContext } from '../record/context.ts';
import type { BuildOptions, BuildOutput, BuildResult } from '../build-contract.ts';
import type { Step, Steps } from './steps.ts';

export interface Outcome {
  store: BuildStore;
  steps: Steps;
  options: Pick<BuildOptions, 'tags' | 'outputs' | 'annotations' | 'credentials'>;
  layers: readonly Layer[];
  config: ImageConfig;
  signal: AbortSignal;
}

/** @returns what was made; without an output the image goes into the store */
export async function writeOutputs(context: EngineContext, outcome: Outcome): Promise<Omit<BuildResult, 'warnings'>> {
  const { options } = outcome;
  const outputs: BuildOutput[] = options.outputs.length === 0 ? [{ type: 'image' }] : options.outputs;
  let made: Omit<BuildResult, 'warnings'> = { id: undefined, manifest: undefined, names: [] };
  for (const output of outputs) {
    if (output.type === 'cacheonly') continue;
    const step = outcome.steps.start(titleOf(output));
    try {
      made = { ...made, ...(await writeOne(context, output, outcome, step)) };
      step.end('done');
    } catch (error) {
      step.end('error', error instanceof Error ? error.message : String(error));
      throw error;
    }
  }
  const pushed = outputs.flatMap((output) => (output.type === 'image' && output.push ? namesOf(output, options) : []));
  // Last, so that what can be had here is there though a registry does not answer.
  for (const name of new Set(pushed.map(keyOf))) {
    const digest = await pushing(name, outcome, (how) => context.images.push(name, how));
    made = { ...made, manifest: digest };
  }
  return made;
}

const namesOf = (output: { name?: string }, { tags }: Outcome['options']): string[] => [
  ...tags,
  ...(output.name?.split(',') ?? []),
];

/** @returns one text for all ways of writing a name */
const keyOf = (name: string): string => fullReference(withDefaultTag(parseReference(name)));

/**
 * Pushes one name, in a step of its own. What is pushed stays here whatever becomes of that.
 * @param send with who asks and what is told
 * @returns the manifest's digest there
 */
export async function pushing(
  name: string,
  { steps, signal, options: { credentials } }: Pick<Outcome, 'steps' | 'signal' | 'options'>,
  send: (how: NonNullable<Parameters<Images['push']>[1]>) => Promise<{ digest: string }>,
): Promise<string> {
  const step = steps.start(`pushing ${name}`);
  step.message('pushing layers');
  try {
    const { digest } = await send({
      ...(credentials && { credentials: await credentials(parseReference(name).domain) }),
      onProgress: ({ id, status, current = 0, total }) => {
        // What is told of the whole push is told by the step itself.
        if (id !== undefined) step.transfer(id, status, current, total);
      },
      signal,
    });
    step.message(`pushing manifest for ${name}@${digest}`);
    step.end('done');
    return digest;
  } catch (error) {
    if (signal.aborted) {
      step.end('canceled');
      throw signal.reason;
    }
    step.end('error', causeOf(error));
    if (!(error instanceof HuskError)) throw error;
    throw new HuskError(`failed to push ${name}: ${error.message}`, {
      kind: error.kind,
      cause: error,
      ...(error.fix !== undefined && { fix: error.fix }),
    });
  }
}

type Written = Exclude<BuildOutput, { type: 'cacheonly' }>;

export function titleOf(output: Written): string {
  switch (output.type) {
    case 'image':
      return 'exporting to image';
    case 'local':
      return `exporting to ${output.below === undefined ? output.folder : join(output.folder, output.below)}`;
    default:
      return `exporting ${output.type} to ${output.name}`;
  }
}

async function writeOne(
  context: EngineContext,
  output: Written,
  { store, options, layers, config }: Outcome,
  step: Step,
): Promise<Partial<Omit<BuildResult, 'warnings'>>> {
  switch (output.type) {
    case 'image': {
      const names = namesOf(output, options);
      const { id, manifest } = store.addImage(Buffer.from(JSON.stringify(config)), layers, {
        names,
        annotations: options.annotations,
      });
      step.message(`writing image ${id}`);
      const image = context.images.get(id);
      for (const name of names) step.message(`naming to ${fullReference(parseReference(name))}`);
      // Another build may have named the same image before.
      const own = new Set(names.map(keyOf));
      return { id, manifest, names: image.repoTags.filter((name) => own.has(keyOf(name))) };
    }
    case 'tar':
    case 'local': {
      const files = await import('./export/output-files.ts');
      if (output.type === 'local') {
        const { folder, below } = output;
        await files.writeFolder(folder, layers, { ...(below && { below }), note: (text) => step.message(text) });
      } else await output.open((stream) => files.writeTar(stream, layers));
      return {};
    }
    case 'oci':
    case 'docker': {
      // An archive is written by `save`, which wants an image: without a tag one that nobody named.
      const { id, manifest } = store.addImage(Buffer.from(JSON.stringify(config)), layers, {
        names: options.tags,
        annotations: options.annotations,
      });
      if (!('open' in output)) throw new HuskError('an archive has nowhere to go', { kind: 'internal' });
      await output.open((stream) => context.images.save(options.tags.length > 0 ? options.tags : [id], stream));
      return { id, manifest };
    }
  }
}
