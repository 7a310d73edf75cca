/**
 * No field of a create body is passed over silently: schema.json has every field of API 1.51's ContainerConfig,
 * HostConfig and NetworkingConfig with its type (taken from the schema's `definitions`). Each one, sent alone, changes
 * what the engine is asked for, or is refused by its name, or is listed as without meaning.
 */
import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { join } from 'node:path';
import test from 'ava';
import { HuskError } from '../../../../../src/errors.ts';
import { createOptions } from '../../../../../src/service/engine-api/containers/create/options.ts';
import { WITHOUT_MEANING } from '../../../../../src/service/engine-api/containers/create/without-meaning.ts';

const SCHEMA = JSON.parse(readFileSync(join(import.meta.dirname, 'schema.json'), 'utf8')) as Record<string, string>;

const BY_TYPE: Record<string, unknown> = {
  string: 'sample',
  integer: 7,
  boolean: true,
  texts: ['sample'],
  integers: [7, 7],
  map: { sample: '1' },
  set: { '7/tcp': {} },
  lists: [['sample']],
};

/** Where not every value of the type is one. */
const SAMPLES: Record<string, unknown> = {
  Image: 'other',
  Env: ['A=b'],
  Volumes: { '/sample': {} },
  'HostConfig.Binds': ['sample:/sample'],
  'HostConfig.Tmpfs': { '/sample': '' },
  'HostConfig.StorageOpt': { size: '1G' },
  'HostConfig.RestartPolicy.Name': 'always',
  'HostConfig.Mounts[0].Target': '/other',
  'HostConfig.Mounts[0].Type': 'tmpfs',
  'HostConfig.Mounts[0].BindOptions.Propagation': 'rslave',
  'HostConfig.PortBindings.*[0].HostIp': '::1',
  'HostConfig.PortBindings.*[0].HostPort': '7',
  'HostConfig.Runtime': 'vm',
  'HostConfig.Isolation': 'vm',
};

/** What must stand beside a field so that it means something. */
const BESIDE: [prefix: string, body: object][] = [
  ['HostConfig.Mounts[0].BindOptions', { HostConfig: { Mounts: [{ Type: 'bind', Source: '/s', Target: '/t' }] } }],
  ['HostConfig.Mounts[0].ImageOptions', { HostConfig: { Mounts: [{ Type: 'image', Source: 's', Target: '/t' }] } }],
  ['HostConfig.Mounts[0].TmpfsOptions', { HostConfig: { Mounts: [{ Type: 'tmpfs', Target: '/t' }] } }],
  ['HostConfig.Mounts[0]', { HostConfig: { Mounts: [{ Type: 'volume', Target: '/t' }] } }],
  ['HostConfig.RestartPolicy.MaximumRetryCount', { HostConfig: { RestartPolicy: { Name: 'on-failure' } } }],
  ['HostConfig.DeviceRequests[0]', { HostConfig: { DeviceRequests: [{ Capabilities: [['gpu']] }] } }],
];

type Node = Record<string, unknown>;

/** @returns the body with one more field; a `*` is a name, `[0]` the first of a list */
function withField(base: object, path: string, value: unknown): Node {
  const body = structuredClone(base) as Node;
  const steps = path.replaceAll('[0]', '.0').split('.');
  let at: Node = body;
  for (const [index, step] of steps.slice(0, -1).entries()) {
    const name = step === '*' ? (path.includes('PortBindings') ? '80/tcp' : 'some-net') : step;
    at[name] ??= steps[index + 1] === '0' ? [{}] : {};
    at = at[name] as Node;
  }
  at[steps.at(-1)!] = value;
  return body;
}

/** @returns what the engine is asked for, or why it is refused */
function attempt(body: object): object {
  try {
    return createOptions(body, { version: { major: 1, minor: 51 } });
  } catch (error) {
    if (error instanceof HuskError && error.kind === 'invalid') return error;
    throw error;
  }
}

for (const [path, type] of Object.entries(SCHEMA))
  test(path, (t) => {
    const [, beside = {}] = BESIDE.find(([prefix]) => path.startsWith(prefix)) ?? [];
    // A parent that is empty but there has no value of its own yet.
    const base = { Image: 'i', ...beside };
    const body = withField(base, path, Object.hasOwn(SAMPLES, path) ? SAMPLES[path] : BY_TYPE[type]);
    const found = attempt(body);
    if (found instanceof HuskError) {
      // Docker's texts of devices name what was asked and not the field.
      const names = [
        path.split('.').at(-1)!.replace('[0]', ''),
        String(SAMPLES[path] ?? BY_TYPE[type]),
        'device driver',
      ];
      t.true(
        names.some((name) => found.message.includes(name)),
        found.message,
      );
      t.false(Object.hasOwn(WITHOUT_MEANING, path), 'refused and listed as without meaning');
      return;
    }
    const bare = attempt(withField(base, path, undefined));
    const same = isDeepStrictEqual(found, bare);
    t.is(same, Object.hasOwn(WITHOUT_MEANING, path), same ? 'passed over silently' : 'read, and listed as unread');
  });

test('what is listed as without meaning is in the schema', (t) => {
  t.deepEqual(
    Object.keys(WITHOUT_MEANING).filter((path) => !Object.hasOwn(SCHEMA, path)),
    [],
  );
});
