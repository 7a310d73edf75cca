/** `husk builder ls`, `husk buildx ls` */
import { BUILDER, builder } from '../builder.ts';
import type { Invocation } from '../grammar/command.ts';
import { checkFormat, writeList } from '../output/format.ts';
import { goRowJson } from '../template/json.ts';

/** Go's zero time, for what was never told */
const NEVER = '0001-01-01T00:00:00Z';

export async function run({ flags, context }: Invocation): Promise<number> {
  const format = flags.string('format');
  checkFormat(format);
  const { driver, status, version, platforms } = builder();
  if (format === 'json') {
    const node = { Name: BUILDER, Endpoint: BUILDER, Status: status, Version: version, Platforms: [platforms] };
    const one = { Name: BUILDER, Driver: driver, LastActivity: NEVER, Dynamic: false, Nodes: [node], Current: true };
    context.stdout.write(`${goRowJson(one)}\n`);
    return 0;
  }
  // The marks of the current builder and of its nodes are the table's alone.
  const isTable = format === '' || format.startsWith('table');
  const [mark, branch] = isTable ? ['*', ' \\_ '] : ['', ''];
  const none = { LastActivity: '', Status: '', Buildkit: '', Platforms: '' };
  writeList(
    [
      { ...none, Name: `${BUILDER}${mark}`, DriverEndpoint: driver },
      {
        ...none,
        Name: `${branch}${BUILDER}`,
        DriverEndpoint: `${branch}${BUILDER}`,
        Status: status,
        Buildkit: version,
        Platforms: platforms,
      },
    ],
    {
      format,
      quiet: false,
      defaultTable: '{{.Name}}\t{{.DriverEndpoint}}\t{{.Status}}\t{{.Buildkit}}\t{{.Platforms}}',
      quietTemplate: '{{.Name}}',
      headers: {
        Name: 'NAME/NODE',
        DriverEndpoint: 'DRIVER/ENDPOINT',
        LastActivity: 'LAST ACTIVITY',
        Status: 'STATUS',
        Buildkit: 'BUILDKIT',
        Platforms: 'PLATFORMS',
      },
      rowType: '*commands.lsContext',
    },
    context.stdout,
  );
  return 0;
}
