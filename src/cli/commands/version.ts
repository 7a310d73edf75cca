/**
 * `husk version`. There is no daemon: husk itself appears as the server, so that scripts that ask for either half keep
 * working.
 */
import { arch, release } from 'node:os';
import type { Invocation } from '../grammar/command.ts';
import { objectFormat, writeObject } from '../output/object-format.ts';
import { VERSION_INFO } from '../types/version.ts';
import { partVersions } from '../../engine/look/part-versions.ts';
import { VERSION } from '../../version.ts';

/** version of the Docker Engine API that husk's output follows */
const API_VERSION = '1.50';
const MIN_API_VERSION = '1.24';
/** the column where values begin, as docker/cli cli/command/system/version.go aligns them */
const VALUE_COLUMN = 20;

export async function run({ flags, context }: Invocation): Promise<number> {
  const format = flags.string('format');
  const show = format === '' ? text : objectFormat(format, VERSION_INFO);
  writeObject((output) => show(versionInfo(), output), context.stdout);
  return 0;
}

/**
 * @returns what Docker prints of its client and its engine, without fields that husk does not have (a version of Go, a
 * commit)
 */
export function versionInfo() {
  const Platform = { Name: 'husk' };
  const Arch = arch() === 'x64' ? 'amd64' : arch();
  const Components = [
    {
      Name: 'Engine',
      Version: VERSION,
      Details: {
        ApiVersion: API_VERSION,
        Arch,
        BuildTime: '',
        Experimental: 'false',
        GitCommit: '',
        GoVersion: '',
        KernelVersion: release(),
        MinAPIVersion: MIN_API_VERSION,
        Os: 'linux',
      },
    },
    ...partVersions().map(({ name, version }) => ({ Name: name, Version: version })),
  ];
  const both = {
    Version: VERSION,
    ApiVersion: API_VERSION,
    GitCommit: '',
    GoVersion: '',
    Os: 'linux',
    Arch,
    BuildTime: '',
  };
  return {
    Client: { Platform, ...both, DefaultAPIVersion: API_VERSION, Context: 'default' },
    Server: { Platform, Components, ...both, MinAPIVersion: MIN_API_VERSION, KernelVersion: release() },
  };
}

function text({ Client, Server }: ReturnType<typeof versionInfo>): string {
  const block = (indent: string, fields: Record<string, string>): string[] =>
    Object.entries(fields).map(([name, value]) => `${`${indent}${name}:`.padEnd(VALUE_COLUMN)}${value}`);
  return [
    `Client: ${Client.Platform.Name}`,
    ...block(' ', {
      Version: Client.Version,
      'API version': Client.ApiVersion,
      'OS/Arch': `${Client.Os}/${Client.Arch}`,
      Context: Client.Context,
    }),
    '',
    `Server: ${Server.Platform.Name}`,
    ' Engine:',
    ...block('  ', {
      Version: Server.Version,
      'API version': `${Server.ApiVersion} (minimum version ${Server.MinAPIVersion})`,
      'OS/Arch': `${Server.Os}/${Server.Arch}`,
      Experimental: 'false',
    }),
    ...Server.Components.slice(1).flatMap(({ Name, Version }) => [` ${Name}:`, ...block('  ', { Version })]),
  ].join('\n');
}
