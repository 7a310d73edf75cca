/** `husk version`. There is no daemon: `.Server` says the same as `.Client`, so that scripts that ask for either go on working. */
import { arch, release } from 'node:os';
import type { Invocation } from '../command.ts';
import { parseFormat, render } from '../output/format.ts';
import { goJson } from '../template/json.ts';
import { VERSION } from '../../version.ts';

/** Docker Engine API husk's output follows */
const API_VERSION = '1.50';
const MIN_API_VERSION = '1.24';

export async function run({ flags, context }: Invocation): Promise<number> {
  const format = flags.string('format');
  const architecture = arch() === 'x64' ? 'amd64' : arch();
  const components = [
    { Name: 'Node', Version: process.version },
    { Name: 'SQLite', Version: process.versions['sqlite'] ?? '' },
  ];
  const half = { Platform: { Name: 'husk' }, Components: components, MinAPIVersion: MIN_API_VERSION, Version: VERSION, ApiVersion: API_VERSION, NodeVersion: process.version, Os: 'linux', Arch: architecture, KernelVersion: release() };
  const data = { Client: half, Server: half };
  if (format === 'json') context.stdout.write(`${goJson(data)}\n`);
  else if (format !== '') {
    // templates see Go's names of fields, and fields of a daemon that is none
    const fields = { ...half, APIVersion: API_VERSION, DefaultAPIVersion: API_VERSION, GitCommit: '', GoVersion: '', BuildTime: '', Context: 'default', Experimental: false };
    context.stdout.write(`${render(parseFormat(format), { Client: fields, Server: fields })}\n`);
  }
  else {
    const rows = { Version: half.Version, Node: half.NodeVersion, SQLite: process.versions['sqlite'] ?? '', Kernel: half.KernelVersion, 'OS/Arch': `${half.Os}/${half.Arch}` };
    context.stdout.write(`husk:\n${Object.entries(rows).map(([name, value]) => ` ${`${name}:`.padEnd(18)}${value}\n`).join('')}`);
  }
  return 0;
}
