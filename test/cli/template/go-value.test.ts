/**
 * JSON seen through Docker's types: zero values, nil pointers, methods, the second try with the JSON as it is. Asked of
 * the real client in test/cli/docker.
 */
import test from 'ava';
import { renderTyped } from '../../../src/cli/output/object-format.ts';
import { parseTemplate } from '../../../src/cli/template/parse.ts';
import { durationText } from '../../../src/cli/types/basics.ts';
import { CONTAINER } from '../../../src/cli/types/container.ts';
import { IMAGE } from '../../../src/cli/types/image.ts';
import { NETWORK } from '../../../src/cli/types/network.ts';
import { VOLUME } from '../../../src/cli/types/volume.ts';

const JSON_OF_A_CONTAINER = {
  Id: 'x',
  State: { Status: 'running' },
  Config: { Labels: { a: 'b' }, Env: [], Cmd: null },
  HostConfig: {
    RestartPolicy: { Name: 'no', MaximumRetryCount: 0 },
    NetworkMode: 'container:web',
    Ulimits: [{ Name: 'nofile', Soft: 1, Hard: 2 }],
    PidsLimit: 5,
  },
  Mounts: [{ Type: 'bind', Source: '/src', Destination: '/dst', Mode: '', RW: true, Propagation: 'rprivate' }],
  NetworkSettings: { Ports: { '80/tcp': [{ HostIp: '', HostPort: '8080' }] } },
  Isolation: 'vm',
  Own: { 10: 'ten', 9: 'nine' },
};
const OUTPUTS: [template: string, output: string][] = [
  ['{{json .State.Health}}', 'null'],
  ['{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}', 'none'],
  ['{{with .State.Health}}x{{end}}', ''],
  ['{{.Config.Healthcheck}}', '<nil>'],
  ['{{range $p, $x := .Config.ExposedPorts}}{{$p}}{{end}}', ''],
  ['{{len .HostConfig.Tmpfs}}', '0'],
  ['{{.SizeRw}}', '<nil>'],
  ['{{index .Config.Labels "absent"}}', ''],
  ['{{.Config.Labels.absent}}', '<no value>'],
  ['{{.HostConfig.RestartPolicy}}', '{no 0}'],
  ['{{.Mounts}}', '[{bind  /src /dst   true rprivate}]'],
  ['{{json .Config.Env}} {{json .Config.Cmd}}', '[] null'],
  ['{{.HostConfig.NetworkMode.IsHost}} {{.HostConfig.NetworkMode.ConnectedContainer}}', 'false web'],
  ['{{.HostConfig.PidsLimit}} {{.HostConfig.Ulimits}}', '5 [nofile=1:2]'],
  [
    '{{range $p, $b := .NetworkSettings.Ports}}{{$p.Port}} {{$p.Proto}} {{(index $b 0).HostPort}}{{end}}',
    '80 tcp 8080',
  ],
  // own properties only
  ['{{.Config.Labels.__proto__}} {{.Config.Labels.constructor}}', '<no value> <no value>'],
  // Docker's types have none of these: the JSON has
  ['{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}', '8080'],
  ['{{range $k, $v := .Own}}{{$k}}={{$v}} {{end}}{{json .Own}}', '10=ten 9=nine {"10":"ten","9":"nine"}'],
  ['{{.Isolation}} {{.ID}}', 'vm x'],
];
for (const [template, output] of OUTPUTS)
  test(template, (t) =>
    t.is(renderTyped(parseTemplate(template), CONTAINER, JSON_OF_A_CONTAINER, { told: 'second' }), output),
  );

const REFUSED: [template: string, first: RegExp, second: RegExp][] = [
  [
    '{{.State.Health.Status}}',
    /nil pointer evaluating \*container\.Health\.Status/,
    /map has no entry for key "Health"/,
  ],
  ['{{.Nope}}', /can't evaluate field Nope in type container\.InspectResponse/, /map has no entry for key "Nope"/],
  ['{{.constructor}}', /can't evaluate field constructor/, /map has no entry for key "constructor"/],
  [
    '{{.HostConfig.NetworkMode.toString}}',
    /can't evaluate field toString in type container\.NetworkMode/,
    /can't evaluate field toString in type interface/,
  ],
];
for (const [template, first, second] of REFUSED) {
  test(`refused: ${template}`, (t) => {
    t.throws(() => renderTyped(parseTemplate(template), CONTAINER, JSON_OF_A_CONTAINER, { told: 'first' }), {
      message: first,
    });
    t.throws(() => renderTyped(parseTemplate(template), CONTAINER, JSON_OF_A_CONTAINER, { told: 'second' }), {
      message: second,
    });
  });
}

test('other types', (t) => {
  t.is(
    renderTyped(
      parseTemplate('{{.Metadata.LastTagTime}} {{.RootFS}} {{.Config}}'),
      IMAGE,
      { RootFS: { Type: 'layers' } },
      { told: 'first' },
    ),
    '0001-01-01 00:00:00 +0000 UTC {layers []} <nil>',
  );
  t.is(
    renderTyped(
      parseTemplate('{{.Options}} {{json .Options}} {{.UsageData}}'),
      VOLUME,
      { Options: null },
      { told: 'first' },
    ),
    'map[] null <nil>',
  );
  t.is(
    renderTyped(
      parseTemplate('{{range .IPAM.Config}}{{.Subnet}}{{end}} {{len .Containers}} {{.Created}}'),
      NETWORK,
      { IPAM: { Config: [{ Subnet: '10.0.0.0/8' }] }, Created: '2024-01-02T03:04:05.500Z' },
      { told: 'first' },
    ),
    '10.0.0.0/8 0 2024-01-02 03:04:05.5 +0000 UTC',
  );
});

/** @see https://pkg.go.dev/time#Duration.String */
const DURATIONS: [nanoseconds: number, text: string][] = [
  [0, '0s'],
  [999, '999ns'],
  [1500, '1.5µs'],
  [1_500_000, '1.5ms'],
  [1_000_000_000, '1s'],
  [90_100_000_000, '1m30.1s'],
  [3_600_000_000_000, '1h0m0s'],
  [-30_000_000_000, '-30s'],
];
for (const [nanoseconds, text] of DURATIONS) test(`duration ${text}`, (t) => t.is(durationText(nanoseconds), text));
