/**
 * Images on their way: pulled and imported, pushed, saved and loaded. What is not there or not allowed is known before
 * the first line, and has a status; later failures are the last line.
 */
import { PassThrough } from 'node:stream';
import { HuskError } from '../../errors.ts';
import type { Engine } from '../../engine/contract.ts';
import { formatPlatform, parsePlatform } from '../../images/store/platform.ts';
import { familiarName, parseReference, splitTag } from '../../images/store/reference.ts';
import type { Answer, Call, Route } from '../http/contract.ts';
import { linesOf, type Tell } from './transfer/lines.ts';
import { platformsOf, requireAsked } from './transfer/platforms.ts';
import { progressLine, tellProgress } from './transfer/progress.ts';
import { isNameOnly, joinReference, tagged } from './transfer/reference.ts';
import { lenientRegistryAuth, registryAuth } from './transfer/registry-auth.ts';

/** limit of images that one archive is asked for */
const MAX_NAMES = 1024;

/** `POST /images/create`: a pull, or with `fromSrc` an import */
function create(call: Call, engine: Engine): Answer {
  return call.query.has('fromSrc') ? importImage(call, engine) : pull(call, engine);
}

function pull({ query, headers, signal }: Call, { images }: Engine): Answer {
  const reference = joinReference(query.text('fromImage') ?? '', query.text('tag'));
  const allTags = isNameOnly(reference);
  const platform = query.text('platform');
  const options = {
    allTags,
    ...(platform !== undefined && { platform: parsePlatform(platform) }),
    credentials: lenientRegistryAuth(headers),
  };
  const work = async (tell: Tell, stop: AbortSignal): Promise<void> => {
    try {
      await images.pull(reference, { ...options, onProgress: tellProgress(tell), signal: stop });
    } catch (error) {
      throw asDenied(error);
    }
  };
  return { kind: 'lines', lines: linesOf(work, signal) };
}

/**
 * A registry does not tell what is not there from what is not for everybody, and so Docker's status is one for both.
 */
function asDenied(error: unknown): unknown {
  if (!(error instanceof HuskError) || error.kind !== 'unauthorized') return error;
  return new HuskError(error.message, { kind: 'not-found', cause: error });
}

function importImage({ query, body, signal }: Call, { images }: Engine): Answer {
  const source = query.text('fromSrc') ?? '';
  const input = source === '-' ? body.stream() : urlOf(source);
  const repository = query.text('repo');
  const platform = query.text('platform');
  const options = {
    ...(repository !== undefined && { reference: tagged(joinReference(repository, query.text('tag'))) }),
    ...(query.has('message') && { message: query.text('message') }),
    changes: query.all('changes'),
    ...(platform !== undefined && { platform: parsePlatform(platform) }),
  };
  const work = async (tell: Tell, stop: AbortSignal): Promise<void> => {
    let begun = false;
    const onBytes = (current: number, total?: number): void => {
      if (!begun && input instanceof URL) tell({ status: `Downloading from ${input.origin}${input.pathname}` });
      begun = true;
      tell(progressLine({ status: 'Importing', current, ...(total !== undefined && { total }) }), 'importing');
    };
    const { id } = await images.import(input, { ...options, onBytes, signal: stop });
    tell({ status: id });
  };
  return { kind: 'lines', lines: linesOf(work, signal) };
}

function urlOf(text: string): URL {
  try {
    return new URL(/^https?:\/\//i.test(text) ? text : `http://${text}`);
  } catch (error) {
    throw new HuskError(`fromSrc ${JSON.stringify(text.slice(0, 200))} is no URL`, { kind: 'invalid', cause: error });
  }
}

function push({ parameters, query, headers, signal }: Call, { images }: Engine): Answer {
  const reference = joinReference(parameters['name']!, query.text('tag'));
  const credentials = registryAuth(headers);
  const references = isNameOnly(reference) ? tagsOf(reference, images) : [reference];
  const [platform] = platformsOf(query);
  // A tag may stand for images of several platforms.
  const get: typeof images.get = (name) => images.find(name, platform) ?? images.get(name);
  requireAsked({ get }, references, query);
  const work = async (tell: Tell, stop: AbortSignal): Promise<void> => {
    const show = tellProgress(tell);
    for (const [index, each] of references.entries()) {
      const { digest, size, lacking } = await images.push(each, {
        credentials,
        ...(platform && { platform }),
        signal: stop,
        // which repository it is about is said once, however many tags go there
        onProgress: (progress) => {
          if (index === 0 || !progress.status.startsWith('The push refers to ')) show(progress);
        },
      });
      tell({ progressDetail: {}, aux: { Tag: splitTag(tagged(each))[1], Digest: digest, Size: size } });
      if (lacking)
        tell({ status: `Not all multiplatform-content is present: ${lacking.map(formatPlatform).join(', ')}` });
    }
  };
  return { kind: 'lines', lines: linesOf(work, signal) };
}

/** @returns the tags of a repository, or its name, of which the push then says that it is not there */
function tagsOf(name: string, images: Engine['images']): string[] {
  const repository = familiarName(parseReference(name));
  const tags = images.list().flatMap(({ repoTags }) => repoTags.filter((tag) => splitTag(tag)[0] === repository));
  return tags.length > 0 ? tags.sort() : [name];
}

function save({ parameters, query }: Call, { images }: Engine): Answer {
  const names = parameters['name'] === undefined ? query.all('names') : [parameters['name']];
  if (names.length === 0 || names.length > MAX_NAMES)
    throw new HuskError(`cannot save ${names.length} images: name 1 to ${MAX_NAMES}`, { kind: 'invalid' });
  const [platform] = platformsOf(query);
  // A tag may stand for images of several platforms.
  const get: typeof images.get = (name) => images.find(name, platform) ?? images.get(name);
  requireAsked({ get }, names, query);
  const write = (output: PassThrough): Promise<void> => images.save(names, output, platform && { platform });
  return { kind: 'bytes', bytes: archive(write), type: 'application/x-tar' };
}

async function* archive(write: (output: PassThrough) => Promise<void>): AsyncGenerator<Uint8Array, void, void> {
  const output = new PassThrough();
  const saved = write(output).then(
    () => void output.end(),
    (error: Error) => void output.destroy(error),
  );
  try {
    yield* output as AsyncIterable<Uint8Array>;
  } finally {
    output.destroy();
    await saved;
  }
}

function load({ query, body, signal }: Call, { images }: Engine): Answer {
  const quiet = query.boolean('quiet');
  const [platform] = platformsOf(query);
  const input = body.stream();
  const work = async (tell: Tell): Promise<void> => {
    const { loaded } = await images.load(input, {
      ...(platform && { platform }),
      ...(!quiet && { onProgress: tellProgress(tell) }),
    });
    for (const name of loaded)
      tell({ stream: `${name.startsWith('sha256:') ? 'Loaded image ID' : 'Loaded image'}: ${name}\n` });
  };
  return { kind: 'lines', lines: linesOf(work, signal) };
}

export const transferRoutes: readonly Route[] = [
  { method: 'POST', path: '/images/create', handler: create },
  { method: 'POST', path: '/images/load', handler: load },
  { method: 'GET', path: '/images/get', handler: save },
  { method: 'GET', path: '/images/{name*}/get', handler: save },
  { method: 'POST', path: '/images/{name*}/push', handler: push },
];
