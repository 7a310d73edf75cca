/** The one builder, by the words of buildx. */
import test from 'ava';
import { formatPlatform, hostPlatform } from '../../../src/images/store/platform.ts';
import { VERSION } from '../../../src/version.ts';
import { husk } from '../fake-context.ts';

const PLATFORM = formatPlatform(hostPlatform());
const pad = `husk ${VERSION}`.length + 3;
const LS = `NAME/NODE     DRIVER/ENDPOINT   STATUS    ${'BUILDKIT'.padEnd(pad)}PLATFORMS
default*      docker                      ${' '.repeat(pad)}
 \\_ default    \\_ default       running   husk ${VERSION}   ${PLATFORM}
`;
const INSPECT = `Name:   default
Driver: docker

Nodes:
Name:             default
Endpoint:         default
Status:           running
BuildKit version: husk ${VERSION}
Platforms:        ${PLATFORM}
`;
const node = {
  Name: 'default',
  Endpoint: 'default',
  Status: 'running',
  Version: `husk ${VERSION}`,
  Platforms: [PLATFORM],
};
const JSON_LINE = `${JSON.stringify({ Name: 'default', Driver: 'docker', LastActivity: '0001-01-01T00:00:00Z', Dynamic: false, Nodes: [node], Current: true })}\n`;

const SAID: [line: string, stdout: string][] = [
  ['ls', LS],
  ['ls --builder default --no-trunc', LS],
  ['ls --format json', JSON_LINE],
  ['ls --format {{.Name}}', 'default\ndefault\n'],
  ['inspect', INSPECT],
  ['inspect --bootstrap default', INSPECT],
  ['use default', ''],
  ['use --global --default default', ''],
  ['--builder default inspect', INSPECT],
  ['-D --builder=default use default', ''],
  ['-- use default', ''],
];
for (const group of ['builder', 'buildx'])
  for (const [line, stdout] of SAID)
    test(`${group} ${line}`, async (t) =>
      t.deepEqual(await husk([group, ...line.split(' ')]), { code: 0, stdout, stderr: '' }));

test('buildx version has what scripts look for', async (t) =>
  t.regex((await husk(['buildx', 'version'])).stdout, /^husk v\d+\.\d+\.\d+\S*\n$/));

const REFUSED: [line: string, code: number, stderr: string][] = [
  ['use other', 1, 'Error: no builder "other" found\nFix: use default, which is husk itself\n'],
  ['inspect other', 1, 'Error: no builder "other" found\nFix: use default, which is husk itself\n'],
  ['install', 1, "Error: 'husk buildx install' is refused: husk build is that builder already\n"],
  ['--builder default uninstall', 1, "Error: 'husk buildx uninstall' is refused: husk build is that builder\n"],
];
for (const [line, code, stderr] of REFUSED)
  test(`refused: buildx ${line}`, async (t) =>
    t.deepEqual(await husk(['buildx', ...line.split(' ')]), { code, stdout: '', stderr }));

for (const line of ['-- --builder', '--builder default -- -x'])
  test(`no command: buildx ${line}`, async (t) => {
    const { code, stderr } = await husk(['buildx', ...line.split(' ')]);
    t.is(code, 1);
    t.regex(stderr, /^husk: unknown command: husk buildx -/);
  });

for (const line of [
  'build --builder other .',
  '--builder other build .',
  'du --builder other',
  'prune -f --builder other',
])
  test(`no other builder: buildx ${line}`, async (t) => {
    const { code, stderr } = await husk(['buildx', ...line.split(' ')]);
    t.is(code, 125);
    t.regex(stderr, /^invalid argument "other" for "--builder" flag: husk has one builder, "default"\n/);
  });
