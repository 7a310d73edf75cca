/** `husk inspect`, `husk container inspect`, `husk image inspect`: Docker's JSON, or what a template makes of it. */
import { HuskError } from '../../errors.ts';
import type { Engine } from '../../engine/contract.ts';
import type { Invocation } from '../command.ts';
import { checkPlatforms } from '../image-platform.ts';
import { INSPECT_REFUSAL, parseFormat } from '../output/format.ts';
import { goJson } from '../template/json.ts';
import { evaluate } from '../template/evaluate.ts';
import { TemplateError } from '../template/lex.ts';
import { NIL_MAP, NIL_SLICE } from '../template/values.ts';
import { report } from '../report.ts';

/** Members of Docker's types that are Go maps: a key they have not is `<no value>`, not an error. */
const MAPS = new Set(['Labels', 'Annotations', 'Sysctls', 'Tmpfs', 'Config.Config', 'Ports', 'PortBindings', 'ExposedPorts', 'Volumes', 'Networks', 'Options', 'Data', 'Storage', 'DriverOpts']);

/** Members that are slices in Go: one that is nil is an empty list to a template, and null to `json`. */
const SLICES = new Set([
  'Aliases', 'Binds', 'BlkioDeviceReadBps', 'BlkioDeviceReadIOps', 'BlkioDeviceWriteBps', 'BlkioDeviceWriteIOps', 'BlkioWeightDevice', 'CapAdd', 'CapDrop', 'Cmd', 'DNSNames', 'DeviceCgroupRules', 'DeviceRequests', 'Devices', 'Dns',
  'DnsOptions', 'DnsSearch', 'Entrypoint', 'Env', 'ExecIDs', 'ExtraHosts', 'GroupAdd', 'Layers', 'Links', 'MaskedPaths', 'Mounts', 'OnBuild', 'ReadonlyPaths', 'RepoDigests', 'RepoTags', 'SecurityOpt', 'Shell', 'Ulimits', 'VolumesFrom',
]);
/** Names of JSON whose fields in Go have others: a template may use either. moby api/types/container */
const FIELDS: Record<string, string> = { Id: 'ID', CpuShares: 'CPUShares', CpuPeriod: 'CPUPeriod', CpuQuota: 'CPUQuota', NanoCpus: 'NanoCPUs', Dns: 'DNS', DnsOptions: 'DNSOptions', DnsSearch: 'DNSSearch' };

export async function run({ command, flags, arguments: names, context }: Invocation): Promise<number> {
  const format = flags.string('format');
  const template = format === '' || format === 'json' ? undefined : parseFormat(format, INSPECT_REFUSAL);
  const kind = command.parent[0] ?? (flags.optional('type') as string | undefined);
  if (kind !== undefined && kind !== 'container' && kind !== 'image' && kind !== 'volume') throw new HuskError(`"${kind}" is not a valid value for --type`, { kind: 'invalid', fix: 'use container, image or volume' });
  const engine = await context.engine();
  const found: object[] = [];
  const failures: unknown[] = [];
  for (const name of names) {
    try {
      if (kind === 'image') await checkPlatforms(flags, engine.images, [name]);
      found.push(await inspectOne(engine, name, { kind, size: flags.has('size') && flags.bool('size') }));
    } catch (error) {
      failures.push(error);
    }
  }
  if (template) {
    for (const item of found) {
      try {
        context.stdout.write(`${evaluate(template, goMaps(item), { missingField: (name) => `map has no entry for key ${JSON.stringify(name)}`, nil: '<nil>' })}\n`);
      } catch (error) {
        if (!(error instanceof TemplateError)) throw error;
        failures.push(new HuskError(`template parsing error: ${error.message}`, { kind: 'invalid', cause: error }));
      }
    }
  } else if (format === 'json') context.stdout.write(`${goJson(found)}\n`);
  else context.stdout.write(`${goJson(found, 4)}\n`);
  for (const failure of failures) report(failure, context);
  return failures.length > 0 ? 1 : 0;
}

async function inspectOne(engine: Engine, name: string, options: { kind: string | undefined; size: boolean }): Promise<object> {
  if (options.kind === 'image') return engine.inspectImage(name);
  if (options.kind === 'volume') return (await engine.volumes()).inspect(name);
  try {
    return await engine.inspect(name, { size: options.size });
  } catch (error) {
    if (options.kind === 'container' || !(error instanceof HuskError) || error.kind !== 'not-found') throw error;
  }
  try {
    return engine.inspectImage(name);
  } catch (error) {
    if (!(error instanceof HuskError) || error.kind !== 'not-found') throw error;
  }
  const volumes = await engine.volumes();
  if (volumes.find(name)) return volumes.inspect(name);
  throw new HuskError(`No such object: ${name}`, { kind: 'not-found' });
}

/** Objects that are maps in Go become Maps, at any depth. */
export function goMaps(value: unknown, key = '', parent = ''): unknown {
  if (Array.isArray(value)) return value.map((item) => goMaps(item));
  if (value === null) return SLICES.has(key) ? NIL_SLICE : MAPS.has(key) ? NIL_MAP : null;
  if (typeof value !== 'object') return value;
  const entries = Object.entries(value).map(([name, item]) => [name, goMaps(item, name, key)] as const);
  if (MAPS.has(key) || MAPS.has(`${parent}.${key}`)) return new Map(entries);
  const fields = Object.fromEntries(entries);
  // not among what `json` prints
  for (const [name, field] of Object.entries(FIELDS)) if (name in fields) Object.defineProperty(fields, field, { value: fields[name] });
  return fields;
}
