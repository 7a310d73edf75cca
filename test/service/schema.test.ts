/** The judge is held against what a real engine answered (dockerd 26.1.5), and against answers that are wrong. */
import test from 'ava';
import { bodyFields, judge, judgeAs } from './schema.ts';

const ID = `sha256:${'a'.repeat(64)}`;

const recorded: [method: string, path: string, status: number, answer: string][] = [
  [
    'GET',
    '/images/json',
    200,
    `[{"Containers":-1,"Created":1795886640,"Id":"${ID}","Labels":null,"ParentId":"","RepoDigests":[],"RepoTags":["bb:latest"],"SharedSize":-1,"Size":1984230}]`,
  ],
  [
    'GET',
    '/v1.45/images/bb/history',
    200,
    `[{"Comment":"hello","Created":1795886640,"CreatedBy":"","Id":"${ID}","Size":1984230,"Tags":["bb:latest"]}]`,
  ],
  [
    'GET',
    '/images/127.0.0.1:5056/a/b:1/json',
    200,
    `{"Id":"${ID}","RepoTags":["bb:latest"],"RepoDigests":[],"Parent":"","Comment":"hello","Created":"2026-11-28T17:24:00.731589897Z","DockerVersion":"26.1.5+dfsg1","Author":"","Config":{"User":"","Env":null,"Cmd":["sh"],"Volumes":null,"WorkingDir":"","Entrypoint":null,"OnBuild":null,"Labels":null},"Architecture":"amd64","Os":"linux","Size":1984230,"GraphDriver":{"Data":{"MergedDir":"/m"},"Name":"overlay2"},"RootFS":{"Type":"layers","Layers":["${ID}"]},"Metadata":{"LastTagTime":"2026-11-28T17:24:00.741287255Z"}}`,
  ],
  [
    'DELETE',
    '/images/127.0.0.1:5056/bb:1',
    200,
    '[{"Untagged":"127.0.0.1:5056/bb:1"},{"Untagged":"127.0.0.1:5056/bb@sha256:ID"}]',
  ],
  [
    'POST',
    '/volumes/create',
    201,
    '{"CreatedAt":"2026-11-28T17:36:09Z","Driver":"local","Labels":{"a":"b"},"Mountpoint":"/v","Name":"named","Options":{"device":"tmpfs","type":"tmpfs"},"Scope":"local"}',
  ],
  [
    'GET',
    '/containers/json',
    200,
    `[{"Id":"${ID.slice(7)}","Names":["/web"],"Image":"bb","ImageID":"${ID}","Command":"sleep 3000","Created":1795887497,"Ports":[{"IP":"0.0.0.0","PrivatePort":80,"PublicPort":8080,"Type":"tcp"}],"Labels":{"k":"v"},"State":"running","Status":"Up 5 seconds","HostConfig":{"NetworkMode":"bridge"},"NetworkSettings":{"Networks":{"bridge":{"IPAMConfig":null,"Links":null,"Aliases":null,"MacAddress":"02:42:ac:11:00:02","NetworkID":"ID","EndpointID":"ID","Gateway":"172.17.0.1","IPAddress":"172.17.0.2","IPPrefixLen":16,"IPv6Gateway":"","GlobalIPv6Address":"","GlobalIPv6PrefixLen":0,"DriverOpts":null,"DNSNames":null}}},"Mounts":[{"Type":"volume","Name":"vol","Source":"/v","Destination":"/data","Driver":"local","Mode":"z","RW":true,"Propagation":""}]}]`,
  ],
  ['GET', '/networks/nope', 404, '{"message":"network nope not found"}'],
];

for (const [method, path, status, answer] of recorded)
  test(`a real engine's answer passes: ${method} ${path} ${status}`, (t) => {
    t.notThrows(() => judge(method, path, status, JSON.parse(answer)));
  });

const wrong: [why: string, method: string, path: string, status: number, answer: unknown][] = [
  [
    'a number for a text',
    'GET',
    '/volumes/x',
    200,
    { Name: 1, Driver: 'local', Mountpoint: '/v', Labels: {}, Options: {}, Scope: 'local' },
  ],
  ['a field that must be there', 'GET', '/volumes/x', 200, { Name: 'x' }],
  ['null for a list that is never null', 'GET', '/containers/json', 200, [{ Names: null }]],
  ['a status the schema does not know', 'GET', '/volumes/x', 202, {}],
  ['a body where there is none', 'DELETE', '/volumes/x', 204, {}],
  ['no message in an error', 'GET', '/volumes/x', 404, {}],
  ['a route that is none', 'GET', '/nonsense', 200, {}],
];

for (const [why, method, path, status, answer] of wrong)
  test(`the judge refuses ${why}`, (t) => {
    t.throws(() => judge(method, path, status, answer));
  });

test('lines of streams are held against definitions', (t) => {
  t.notThrows(() => judgeAs('CreateImageInfo', { status: 'Pulling from bb', id: '1' }));
  t.throws(() => judgeAs('CreateImageInfo', { status: 1 }));
  t.throws(() => judgeAs('Nonsense', {}));
});

test('fields of a body are found through references', (t) => {
  const fields = bodyFields('POST', '/networks/create');
  for (const field of ['Name', 'Driver', 'IPAM.Driver', 'IPAM.Config', 'ConfigFrom.Network', 'Labels'])
    t.true(fields.includes(field), `${field} in ${fields.join(', ')}`);
});
