/** Create bodies, those that clients send and hostile ones, as the engine's request. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { CreateOptions } from '../../../../../src/engine/contract.ts';
import { readRequest } from '../../../../../src/engine/request/request.ts';
import { createOptions } from '../../../../../src/service/engine-api/containers/create/options.ts';

/** as the clients of traffic.md sent them */
const RECORDED = JSON.parse(readFileSync(join(import.meta.dirname, 'recorded.json'), 'utf8')) as Record<string, object>;

const at = (minor: number) => ({ version: { major: 1, minor } });
const read = (body: unknown, minor = 51): CreateOptions => createOptions(body, at(minor));

/** what a body that says nothing asks for */
const PLAIN = read({ Image: 'i' });
/** @returns what differs from a body that says nothing */
function asked(body: object, minor = 51): Partial<CreateOptions> {
  const options = read({ Image: 'i', ...body }, minor);
  return Object.fromEntries(
    Object.entries(options).filter(
      ([key, value]) => JSON.stringify(value) !== JSON.stringify(PLAIN[key as keyof CreateOptions]),
    ),
  );
}
const host = (fields: object) => ({ HostConfig: fields });

test('a body of docker run', (t) => {
  const options = read(RECORDED['docker']);
  t.like(options, {
    image: 'bb',
    command: ['sleep', '3000'],
    entrypoint: undefined,
    env: ['A=b'],
    labels: { k: 'v' },
    network: 'default',
    networks: undefined,
    publish: [':8080:80/tcp', ':9000:9000/udp', ':9001:9001/udp'],
    expose: ['80/tcp', '9000/udp', '9001/udp'],
    tmpfs: { '/t': '' },
    pull: 'never',
    isolation: 'auto',
    logDriver: '',
    restart: { name: 'no', maximumRetryCount: 0 },
    attach: { stdin: false, stdout: false, stderr: false },
  });
  t.deepEqual(
    options.mounts.map(({ type, source, target, readonly, createSource }) => [
      type,
      source,
      target,
      readonly,
      createSource,
    ]),
    [
      ['volume', 'vol', '/data', false, true],
      ['bind', '/tmp', '/host', true, true],
      ['volume', 'v2', '/v2', false, false],
    ],
  );
  t.deepEqual(
    Object.fromEntries(Object.entries(options.resources).filter(([, value]) => value !== undefined)),
    { memory: 67108864, cpus: 0.5 },
    '0, -1 and [] are no limits',
  );
});

test('a body of compose', (t) => {
  const options = read(RECORDED['compose']);
  t.like(options, {
    network: 'proj_back',
    networks: [{ name: 'proj_back', aliases: ['proj-db-1', 'db', 'database'] }],
    restart: { name: 'unless-stopped', maximumRetryCount: 0 },
    healthcheck: { Test: ['CMD', 'true'], Interval: 1e9, Retries: 3 },
    attach: { stdin: false, stdout: true, stderr: true },
  });
  t.is(options.labels['com.docker.compose.service'], 'db');
  t.true(Object.values(options.resources).every((value) => value === undefined));
});

test('a body of testcontainers', (t) => {
  t.like(read(RECORDED['testcontainers']), {
    image: 'bb:latest',
    command: ['httpd', '-f', '-p', '80'],
    publish: ['::80/tcp'],
    expose: ['80/tcp'],
  });
});

for (const [client, body] of Object.entries(RECORDED))
  test(`the engine can read what ${client} asks for`, (t) => {
    t.notThrows(() => readRequest(read(body)));
  });

test('a body whose fields are all null asks for nothing', (t) => {
  const schema = JSON.parse(readFileSync(join(import.meta.dirname, 'schema.json'), 'utf8')) as Record<string, string>;
  const body: Record<string, unknown> = { HostConfig: {}, NetworkingConfig: null };
  for (const path of Object.keys(schema)) {
    const [first = '', second = ''] = path.split(/[.[]/);
    if (first === 'HostConfig') (body['HostConfig'] as Record<string, unknown>)[second] = null;
    else body[first] = null;
  }
  t.deepEqual(asked({ ...body, Image: 'i' }), {});
});

const READ: [name: string, body: object, expected: Partial<CreateOptions>, minor?: number][] = [
  ['one word for a list', { Cmd: 'true', Entrypoint: '/bin/sh' }, { command: ['true'], entrypoint: ['/bin/sh'] }],
  ['an empty command is the image’s', { Cmd: [] }, {}],
  ['an empty entrypoint takes the image’s away', { Entrypoint: [] }, { entrypoint: [] }],
  ['and so does an empty word', { Entrypoint: [''] }, { entrypoint: [''] }],
  [
    'names in any case, as Go reads them',
    { hostname: 'h', hostConfig: { privileged: true } },
    { hostname: 'h', privileged: true },
  ],
  ['a stop timeout of 0 is one', { StopTimeout: 0 }, { stopTimeout: 0 }],
  [
    'an empty test of health is the image’s',
    { Healthcheck: { Test: [], Retries: 2 } },
    {
      healthcheck: {
        Test: undefined,
        Interval: undefined,
        Timeout: undefined,
        StartPeriod: undefined,
        StartInterval: undefined,
        Retries: 2,
      },
    },
  ],
  ['no processes limit: -1', host({ PidsLimit: -1 }), {}],
  ['masked paths: []', host({ MaskedPaths: [], ReadonlyPaths: [] }), { securityOpt: ['systempaths=unconfined'] }],
  ['a console', host({ ConsoleSize: [30, 100] }), { consoleSize: { rows: 30, columns: 100 } }],
  ['no network', { NetworkDisabled: true }, { network: 'none' }],
  ['a network of its own', host({ NetworkMode: 'net' }), { network: 'net' }],
  ['endpoints alone', { NetworkingConfig: { EndpointsConfig: { net: null } } }, { network: 'net' }],
  [
    'several networks, that of the mode first',
    { HostConfig: { NetworkMode: 'b' }, NetworkingConfig: { EndpointsConfig: { a: { Aliases: ['x'] }, b: {} } } },
    { network: 'b', networks: [{ name: 'b' }, { name: 'a', aliases: ['x'] }] },
  ],
  [
    'the endpoint “default” is that of the mode “bridge”',
    { HostConfig: { NetworkMode: 'bridge' }, NetworkingConfig: { EndpointsConfig: { default: {} } } },
    { network: 'bridge' },
  ],
  [
    'addresses',
    {
      HostConfig: { NetworkMode: 'n' },
      NetworkingConfig: {
        EndpointsConfig: {
          n: { IPAMConfig: { IPv4Address: '10.1.0.9' }, MacAddress: '02:00:00:00:00:01', GwPriority: 3 },
        },
      },
    },
    { network: 'n', networks: [{ name: 'n', ipv4: '10.1.0.9', mac: '02:00:00:00:00:01', gatewayPriority: 3 }] },
  ],
  ['links on the default network', host({ Links: ['db:store'] }), { links: ['db:store'] }],
  [
    'links on a network of its own, which docker sends twice',
    {
      HostConfig: { NetworkMode: 'n', Links: ['db:store'] },
      NetworkingConfig: { EndpointsConfig: { n: { Links: ['db:store'] } } },
    },
    { network: 'n', networks: [{ name: 'n', links: ['db:store'] }] },
  ],
  [
    'a MAC address of old',
    { MacAddress: '02:00:00:00:00:01' },
    {
      networks: [{ name: 'default', mac: '02:00:00:00:00:01' }],
    },
  ],
  [
    'a port of the host that is any',
    host({ PortBindings: { '80/tcp': [{ HostPort: '0' }] } }),
    { publish: ['::80/tcp'] },
  ],
  ['a port of v6', host({ PortBindings: { '80': [{ HostIp: '::1', HostPort: '1' }] } }), { publish: ['[::1]:1:80'] }],
  [
    'a port without bindings',
    host({ PortBindings: { '80/tcp': null, '81/tcp': [] } }),
    { expose: ['80/tcp', '81/tcp'] },
  ],
  [
    'an anonymous volume',
    { Volumes: { '/data': {} } },
    {
      mounts: [
        { type: 'volume', source: undefined, target: '/data', readonly: false, options: [], createSource: true },
      ],
    },
  ],
  [
    'which a bind takes the place of',
    { Volumes: { '/data': {} }, HostConfig: { Binds: ['/h:/data'] } },
    {
      mounts: [{ type: 'bind', source: '/h', target: '/data', readonly: false, options: [], createSource: true }],
    },
  ],
  [
    'mounts',
    host({
      Mounts: [
        {
          Type: 'bind',
          Source: '/h',
          Target: '/a',
          ReadOnly: true,
          BindOptions: { Propagation: 'rslave', CreateMountpoint: true },
        },
        {
          Type: 'volume',
          Target: '/b',
          VolumeOptions: { NoCopy: true, Labels: { a: 'b' }, DriverConfig: { Name: 'local', Options: { o: 'x=y' } } },
        },
        { Type: 'tmpfs', Target: '/c', TmpfsOptions: { SizeBytes: 65536, Mode: 0o1777 } },
        { Type: 'image', Source: 'i', Target: '/d', ImageOptions: { Subpath: 's' } },
      ],
    }),
    {
      mounts: [
        { type: 'bind', source: '/h', target: '/a', readonly: true, options: ['rslave'], createSource: true },
        {
          type: 'volume',
          source: undefined,
          target: '/b',
          readonly: false,
          createSource: false,
          options: ['nocopy', 'volume-label=a=b', 'volume-driver=local', 'volume-opt=o=x=y'],
        },
        {
          type: 'tmpfs',
          source: undefined,
          target: '/c',
          readonly: false,
          createSource: false,
          options: ['tmpfs-size=65536', 'tmpfs-mode=1777'],
        },
        {
          type: 'image',
          source: 'i',
          target: '/d',
          readonly: false,
          createSource: false,
          options: ['image-subpath=s'],
        },
      ],
    },
  ],
  ['runtime', host({ Runtime: 'userns' }), { isolation: 'userns' }],
  ['isolation', host({ Isolation: 'vm' }), { isolation: 'vm' }],
  ['both', host({ Runtime: 'vm', Isolation: 'vm' }), { isolation: 'vm' }],
  ['names of Docker’s runtime', host({ Runtime: 'runc', Isolation: 'default' }), {}],
  ['husk’s own word', host({ Runtime: 'husk', Isolation: 'husk' }), {}],
  ['GPUs', host({ DeviceRequests: [{ Count: -1, Capabilities: [['gpu']] }] }), { devices: ['nvidia.com/gpu=all'] }],
  ['devices by name', host({ DeviceRequests: [{ Driver: 'cdi', DeviceIDs: ['a.b/c=d'] }] }), { devices: ['a.b/c=d'] }],
  ['a device', host({ Devices: [{ PathOnHost: '/dev/fuse' }] }), { devices: ['/dev/fuse:/dev/fuse:rwm'] }],
  [
    'a map with a name of every object',
    { Labels: { ['__proto__']: 'a', constructor: 'b' } },
    {
      labels: JSON.parse('{"__proto__":"a","constructor":"b"}') as Record<string, string>,
    },
  ],
];

for (const [name, body, expected, minor] of READ)
  test(`is read: ${name}`, (t) => t.deepEqual(asked(body, minor), expected));

const REFUSED: [body: unknown, message: RegExp, minor?: number][] = [
  [undefined, /^config cannot be empty in order to create a container$/],
  [{}, /^config cannot be empty/],
  [[], /^config cannot be empty/],
  ['x', /the body must be an object, not "x"/],
  [{ Cmd: ['a'] }, /^no image specified$/],
  [{ Image: 5 }, /Image must be a string, not 5/],
  [{ Image: 'i', Env: ['a\0b'] }, /Env must be a list of strings/],
  [{ Image: 'i', Env: Array.from({ length: 10_001 }, () => 'A=b') }, /Env must be a list of strings/],
  [{ Image: 'i', Cmd: [['a']] }, /Cmd must be a list of strings/],
  [{ Image: 'i', Tty: 'yes' }, /Tty must be true or false, not "yes"/],
  [{ Image: 'i', StopTimeout: 1.5 }, /StopTimeout must be a whole number, not 1.5/],
  [{ Image: 'i', Labels: { a: 1 } }, /Labels\["a"\] must be a string, not 1/],
  [{ Image: 'i', HostConfig: [] }, /HostConfig must be an object/],
  [{ Image: 'i', HostConfig: { Memory: 1e300 } }, /HostConfig\.Memory must be a whole number/],
  [{ Image: 'i', HostConfig: { Runtime: 'nope' } }, /^unknown or invalid runtime name: nope$/],
  [{ Image: 'i', HostConfig: { Runtime: 'toString' } }, /^unknown or invalid runtime name: toString$/],
  [{ Image: 'i', HostConfig: { Isolation: 'hyperv' } }, /^invalid isolation 'hyperv' on linux$/],
  [
    { Image: 'i', HostConfig: { Runtime: 'vm', Isolation: 'userns' } },
    /^conflicting options: runtime vm and isolation/,
  ],
  [{ Image: 'i', HostConfig: { RestartPolicy: { Name: 'ever' } } }, /unknown policy 'ever'/],
  [{ Image: 'i', HostConfig: { RestartPolicy: { Name: 'always', MaximumRetryCount: 2 } } }, /cannot be used with/],
  [{ Image: 'i', HostConfig: { Binds: ['./x:/y'] } }, /must be absolute/],
  [{ Image: 'i', HostConfig: { Binds: ['/y'] } }, /invalid volume specification: '\/y'/],
  [{ Image: 'i', HostConfig: { Binds: ['/a:/c', '/b:/c/'] } }, /^Duplicate mount point: \/c$/],
  [{ Image: 'i', Volumes: { '/': {} } }, /destination can't be '\/'/],
  [
    { Image: 'i', HostConfig: { Mounts: [{ Type: 'npipe', Source: 'a', Target: '/b' }] } },
    /^invalid mount config for type "npipe": mount type unknown$/,
  ],
  [{ Image: 'i', HostConfig: { Mounts: [{ Source: 'a', Target: '/b' }] } }, /mount type unknown$/],
  [
    { Image: 'i', HostConfig: { Mounts: [{ Type: 'volume', Target: '/b', BindOptions: { NonRecursive: true } }] } },
    /BindOptions must not/,
  ],
  [{ Image: 'i', HostConfig: { MaskedPaths: [] } }, /both lists are emptied, or none/],
  [{ Image: 'i', HostConfig: { MaskedPaths: ['/proc/kcore'] } }, /HostConfig\.MaskedPaths/],
  [{ Image: 'i', HostConfig: { Devices: [{ PathOnHost: '/dev/a:b' }] } }, /must not have a colon/],
  [
    { Image: 'i', HostConfig: { DeviceRequests: [{ Capabilities: [['tpu']] }] } },
    /^could not select device driver "" with capabilities: \[\[tpu\]\]$/,
  ],
  [{ Image: 'i', HostConfig: { VolumeDriver: 'nfs' } }, /^error looking up volume plugin nfs: plugin "nfs" not found$/],
  [{ Image: 'i', HostConfig: { CpuRealtimePeriod: 5 } }, /HostConfig\.CpuRealtimePeriod/],
  [
    { Image: 'i', NetworkingConfig: { EndpointsConfig: { a: {}, b: {} } } },
    /^Container cannot be connected to network endpoints: a, b$/,
    43,
  ],
  [
    {
      Image: 'i',
      MacAddress: '02:00:00:00:00:01',
      NetworkingConfig: { EndpointsConfig: { a: { MacAddress: '02:00:00:00:00:02' } } },
    },
    /container-wide MAC address/,
  ],
];

for (const [body, message, minor] of REFUSED)
  test(`is refused: ${JSON.stringify(body)?.slice(0, 120)}`, (t) => {
    t.throws(() => read(body, minor), { message });
  });
