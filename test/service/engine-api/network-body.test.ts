/**
 * No field of a network's bodies is passed over silently: each one of the schema, sent alone, changes what the engine
 * is asked for, is refused by its name, or is listed here as without meaning.
 */
import { isDeepStrictEqual } from 'node:util';
import test from 'ava';
import type { HuskError } from '../../../src/errors.ts';
import { WITHOUT_MEANING } from '../../../src/service/engine-api/containers/create/without-meaning.ts';
import { readConnection, readDisconnection, readNetwork } from '../../../src/service/engine-api/network-body.ts';
import { bodyFields } from '../schema.ts';

const BODIES: [path: string, read: (body: unknown) => unknown, base: object, without: (field: string) => boolean][] = [
  ['/networks/create', readNetwork, {}, () => false],
  [
    '/networks/x/connect',
    (body) => readConnection('own', body),
    { Container: 'c' },
    (field) => Object.hasOwn(WITHOUT_MEANING, field.replace('EndpointConfig.', 'NetworkingConfig.EndpointsConfig.*.')),
  ],
  ['/networks/x/disconnect', readDisconnection, { Container: 'c' }, () => false],
];

/** Where a text is not what is meant. */
const SAMPLES: Record<string, unknown> = {
  Internal: true,
  Attachable: true,
  Ingress: true,
  ConfigOnly: true,
  EnableIPv4: false,
  EnableIPv6: true,
  Force: true,
  Options: { a: 'b' },
  Labels: { a: 'b' },
  'IPAM.Config': [{ Subnet: '10.0.0.0/24' }],
  'IPAM.Options': { a: 'b' },
  'EndpointConfig.IPAMConfig.LinkLocalIPs': ['169.254.1.1'],
  'EndpointConfig.Links': ['a:b'],
  'EndpointConfig.Aliases': ['a'],
  'EndpointConfig.MacAddress': '02:42:00:00:00:01',
  'EndpointConfig.DriverOpts': { a: 'b' },
  'EndpointConfig.GwPriority': 7,
  'EndpointConfig.IPPrefixLen': 7,
  'EndpointConfig.GlobalIPv6PrefixLen': 7,
  'EndpointConfig.DNSNames': ['a'],
};

function withField(base: object, path: string): object {
  const sample = SAMPLES[path] ?? 'sample';
  return path.split('.').reduceRight<unknown>((value, name) => ({ [name]: value }), sample) as object & typeof base;
}

for (const [path, read, base, without] of BODIES) {
  const fields = bodyFields('POST', path);
  test(`POST ${path}: the schema has fields`, (t) => t.true(fields.length > 1));
  for (const field of fields)
    test(`POST ${path}: ${field}`, (t) => {
      const before = read(base);
      let after: unknown;
      try {
        after = read({ ...base, ...withField(base, field) });
      } catch (error) {
        const { kind, message } = error as HuskError;
        const last = field.split('.').at(-1)!;
        t.true(kind === 'unsupported' && (message.includes(last) || message.includes('link-local')), message);
        return;
      }
      t.is(isDeepStrictEqual(before, after), without(field), `${field}: ${JSON.stringify(after)}`);
    });
}
