/** `--output`, `--push` and `--load` of `build`: where the result goes. */
import { statSync } from 'node:fs';
import { EXIT_HUSK_FAILED, HuskError } from '../errors.ts';
import type { BuildOutput } from '../engine/build-contract.ts';
import { parseBool } from '../notation/scalars.ts';
import type { Context } from './grammar/command.ts';
import type { FlagSet } from './grammar/flag-set.ts';
import { checkTag, fieldsOf } from './build-options.ts';
import { assertWritable, writeArchive } from './output/archive-output.ts';

const refuse = (message: string, kind: 'invalid' | 'unsupported' = 'invalid', fix?: string): HuskError =>
  new HuskError(message, { kind, exitCode: EXIT_HUSK_FAILED, ...(fix !== undefined && { fix }) });

/**
 * `FOLDER`, `-` or `type=local|tar|oci|docker|image|registry|cacheonly[,dest=…][,name=…][,push=BOOL]`. `--push` and
 * `--load` add what they mean to what is there, as buildx's.
 * @throws HuskError also where two of them would write to STDOUT, and for a push of what has no name
 */
export function buildOutputs(flags: FlagSet, context: Context): BuildOutput[] {
  const given = flags.list('output').map((text) => one(text, context));
  if (given.filter(({ toStdout }) => toStdout).length > 1)
    throw refuse('--output: two outputs cannot both go to STDOUT');
  const outputs = given.map(({ output }) => output);
  const images = outputs.filter((output) => output.type === 'image');
  const isPushed = flags.bool('push');
  if (isPushed) for (const image of images) image.push = true;
  if (images.length === 0 && (isPushed || (flags.bool('load') && outputs.length > 0)))
    outputs.push({ type: 'image', ...(isPushed && { push: true }) });
  const isNamed = flags.list('tag').length > 0;
  if (outputs.some((output) => output.type === 'image' && output.push && !output.name && !isNamed))
    throw refuse('tag is needed when pushing to registry', 'invalid', 'name the image with -t');
  return outputs;
}

function one(text: string, context: Context): { output: BuildOutput; toStdout: boolean } {
  if (!text.includes('=')) {
    if (text === '') throw refuse('--output: it names nothing');
    return text === '-' ? archive('tar', '-', context) : local(text);
  }
  const { type = '', dest, name, push, tar } = fieldsOf(text, '--output', ['type', 'dest', 'name', 'push', 'tar']);
  if (tar !== undefined && !bool(tar, 'tar'))
    throw refuse('--output: tar=false is not there: an archive is one file', 'unsupported', `leave tar=${tar} out`);
  switch (type) {
    case 'image':
    case 'registry':
    case 'docker':
      // Without a destination Docker's exporter of that name loads the image.
      if (type === 'docker' && dest !== undefined) return archive(type, dest, context);
      for (const each of name?.split(',') ?? []) checkTag(each, '--output');
      return image(name, type === 'registry' || bool(push, 'push'));
    case 'cacheonly':
      return { output: { type }, toStdout: false };
    case 'local':
      if (dest === undefined) throw refuse('--output: type=local needs dest=FOLDER');
      return local(dest);
    case 'tar':
    case 'oci':
      return archive(type, dest ?? '-', context);
    default:
      throw refuse(`--output: ${JSON.stringify(type)} is none of local, tar, oci, docker, image, registry, cacheonly`);
  }
}

const image = (name: string | undefined, push: boolean): { output: BuildOutput; toStdout: boolean } => ({
  output: { type: 'image', ...(name && { name }), ...(push && { push }) },
  toStdout: false,
});

function bool(text: string | undefined, key: string): boolean {
  try {
    return text !== undefined && parseBool(text);
  } catch {
    throw refuse(`--output: ${key}=${JSON.stringify(text)} is neither true nor false`);
  }
}

function local(folder: string) {
  // What cannot be written is told before anything is built.
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() === false)
    throw refuse(`--output: destination directory ${folder} is a file`);
  return { output: { type: 'local' as const, folder }, toStdout: false };
}

function archive(type: 'tar' | 'oci' | 'docker', file: string, context: Context) {
  const toStdout = file === '-';
  if (toStdout && context.stdout.isTTY)
    throw refuse('cowardly refusing to save to a terminal. Use dest=FILE, or redirect');
  if (!toStdout) assertWritable(file);
  return {
    output: {
      type,
      name: toStdout ? 'STDOUT' : file,
      open: (write: (output: NodeJS.WritableStream) => Promise<void>) => writeArchive(file, context, write),
    },
    toStdout,
  };
}
