/** `-f publish=` and `-f expose=` of `ps`: ports, ranges, protocols. The other filters are asked of whole engines. */
import test from 'ava';
import type { Container } from '../../src/engine/contract.ts';
import { checkFilters, matches } from '../../src/engine/filters.ts';

const container = { config: { options: { publish: ['127.0.0.1:8080:80', '5000-5010:50-60/udp'], expose: ['443', '9000-9010'] } } } as unknown as Container;
const context = { ancestors: () => new Set<string>(), find: () => container };

for (const [filter, value, found] of [
  ['publish', '80', true],
  ['publish', '80/tcp', true],
  ['publish', '80/udp', false],
  ['publish', '8080', false],
  ['publish', '55/udp', true],
  ['publish', '70-90', true],
  ['publish', '60-70/udp', true],
  ['publish', '81-90', false],
  ['expose', '443/tcp', true],
  ['expose', '9010-9020', true],
  ['expose', '9011', false],
] as const)
  test(`${filter}=${value}: ${found}`, (t) => t.is(matches(container, { [filter]: [value] }, context), found));

for (const value of ['', 'x', '80-', '-80', '123456', '80/tcp/x'])
  test(`publish=${value} is refused`, (t) => t.throws(() => checkFilters({ publish: [value] }), { message: `invalid filter 'publish=${value}'` }));
