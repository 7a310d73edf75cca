/**
 * `husk inspect`, `husk container inspect`, `husk image inspect`, `husk network inspect`, `husk volume inspect`:
 * Docker's JSON, or what a template makes of it.
 */
import { HuskError } from '../../errors.ts';
import type { Engine, Network } from '../../engine/contract.ts';
import type { Context, Invocation } from '../grammar/command.ts';
import { checkPlatforms } from '../image-platform.ts';
import { OBJECT_WORDS, parseFormat } from '../output/format.ts';
import { renderTyped } from '../output/object-format.ts';
import { printableJson } from '../output/printable.ts';
import { report } from '../report.ts';
import type { GoType } from '../template/go-types.ts';
import { goJson } from '../template/json.ts';
import { TemplateError } from '../template/parse.ts';
import { CONTAINER } from '../types/container.ts';
import { IMAGE } from '../types/image.ts';
import { NETWORK } from '../types/network.ts';
import { VOLUME } from '../types/volume.ts';

const KINDS = ['container', 'image', 'network', 'volume'];

interface Found {
  type: GoType;
  json: object;
}

export async function run({ command, flags, arguments: names, context }: Invocation): Promise<number> {
  const format = flags.string('format');
  const template = format === '' || format === 'json' ? undefined : parseFormat(format, OBJECT_WORDS);
  const kind = command.parent[0] ?? (flags.optional('type') as string | undefined);
  if (kind !== undefined && !KINDS.includes(kind))
    throw new HuskError(`"${kind}" is not a valid value for --type`, {
      kind: 'invalid',
      fix: 'use container, image, network or volume',
    });
  const engine = await context.engine();
  if (flags.has('tree') && flags.bool('tree')) return networkTree(engine, names, { format, context });
  const found: Found[] = [];
  const failures: unknown[] = [];
  for (const name of names) {
    try {
      if (kind === 'image') await checkPlatforms(flags, engine.images, [name]);
      const { type, json } = await inspectOne(engine, name, { kind, size: flags.has('size') && flags.bool('size') });
      found.push({ type, json: printableJson(json, context.stdout) as object });
    } catch (error) {
      failures.push(error);
    }
  }
  if (template) {
    for (const item of found) {
      try {
        context.stdout.write(
          `${renderTyped(template, item.type, item.json, { told: item.type === VOLUME ? 'first' : 'second' })}\n`,
        );
      } catch (error) {
        if (!(error instanceof TemplateError)) throw error;
        failures.push(new HuskError(`template parsing error: ${error.message}`, { kind: 'invalid', cause: error }));
      }
    }
    // Docker's client ends its output with a line break even where there is no output.
    if (failures.length > 0 && failures.length === names.length) context.stdout.write('\n');
  } else
    context.stdout.write(
      `${goJson(
        found.map(({ json }) => json),
        format === 'json' ? undefined : 4,
      )}\n`,
    );
  for (const failure of failures) report(failure, context);
  return failures.length > 0 ? 1 : 0;
}

/** Prints `network inspect --tree`. */
async function networkTree(
  engine: Engine,
  names: readonly string[],
  { format, context }: { format: string; context: Context },
): Promise<number> {
  if (format !== '') throw new HuskError('conflicting options: --tree and --format', { kind: 'invalid' });
  const networks = await engine.networks();
  const found: Network[] = [];
  const failures: unknown[] = [];
  for (const name of names) {
    try {
      found.push(networks.get(name));
    } catch (error) {
      failures.push(error);
    }
  }
  const { writeNetworkTree } = await import('../output/network-tree.ts');
  await writeNetworkTree(engine, found, { details: true, context });
  for (const failure of failures) report(failure, context);
  return failures.length > 0 ? 1 : 0;
}

async function inspectOne(
  engine: Engine,
  name: string,
  options: { kind: string | undefined; size: boolean },
): Promise<Found> {
  if (options.kind === 'image') return { type: IMAGE, json: engine.inspectImage(name) };
  if (options.kind === 'network') return { type: NETWORK, json: (await engine.networks()).inspect(name) };
  if (options.kind === 'volume') return { type: VOLUME, json: (await engine.volumes()).inspect(name) };
  try {
    return { type: CONTAINER, json: await engine.inspect(name, { size: options.size }) };
  } catch (error) {
    if (options.kind === 'container' || !(error instanceof HuskError) || error.kind !== 'not-found') throw error;
  }
  try {
    return { type: IMAGE, json: engine.inspectImage(name) };
  } catch (error) {
    if (!(error instanceof HuskError) || error.kind !== 'not-found') throw error;
  }
  const networks = await engine.networks();
  if (networks.find(name)) return { type: NETWORK, json: networks.inspect(name) };
  const volumes = await engine.volumes();
  if (volumes.find(name)) return { type: VOLUME, json: volumes.inspect(name) };
  throw new HuskError(`No such object: ${name}`, { kind: 'not-found' });
}
