import test from 'ava';
import {
  ALL_CAPABILITIES,
  capabilityMask,
  capabilityNames,
  DEFAULT_CAPABILITIES,
  processCapabilities,
  tweakCapabilities,
} from '../../src/container/capabilities.ts';

const hex = (names: readonly string[]) => capabilityMask(names).toString(16);

// the figures of /proc/self/status in a Docker container
test('the defaults are a80425fb', (t) => t.is(hex(DEFAULT_CAPABILITIES), 'a80425fb'));
test('all are 1ffffffffff', (t) => t.is(hex(ALL_CAPABILITIES), '1ffffffffff'));
test('names and mask go both ways', (t) =>
  t.deepEqual(capabilityNames(capabilityMask(ALL_CAPABILITIES)), [...ALL_CAPABILITIES]));

const cases: [what: string, add: string[], drop: string[], mask: string][] = [
  ['nothing', [], [], 'a80425fb'],
  ['add one', ['NET_ADMIN'], [], 'a80435fb'],
  ['add with prefix, in lower case', ['cap_net_admin'], [], 'a80435fb'],
  ['add one that is there', ['CHOWN'], [], 'a80425fb'],
  ['drop one', [], ['CHOWN'], 'a80425fa'],
  ['drop one that is not there', [], ['SYS_ADMIN'], 'a80425fb'],
  ['drop and add the same', ['CHOWN'], ['CHOWN'], 'a80425fb'],
  ['drop all', [], ['ALL'], '0'],
  ['drop all, add one', ['NET_BIND_SERVICE'], ['all'], '400'],
  ['add all', ['ALL'], [], '1ffffffffff'],
  ['add all but one', ['ALL'], ['SYS_ADMIN'], '1ffffdfffff'],
  ['add all, drop all: only the names dropped count', ['ALL'], ['ALL'], '1ffffffffff'],
];
for (const [what, add, drop, mask] of cases)
  test(`cap flags: ${what}`, (t) => t.is(hex(tweakCapabilities({ add, drop, privileged: false })), mask));

test('privileged has all whatever is dropped', (t) =>
  t.is(tweakCapabilities({ add: [], drop: ['CHOWN'], privileged: true }).length, 41));
for (const name of ['CAP_NOPE', 'NOPE', '', 'CAP_', 'toString', '__proto__'])
  test(`unknown capability "${name}"`, (t) =>
    void t.throws(() => tweakCapabilities({ add: [name], drop: [], privileged: false }), {
      message: `invalid capability: unknown capability: "${name}"`,
    }));

test('a user who is not root has only the bounding set', (t) =>
  t.deepEqual(processCapabilities(['CAP_CHOWN'], { nonRoot: true }), {
    bounding: ['CAP_CHOWN'],
    effective: [],
    permitted: [],
    inheritable: [],
    ambient: [],
  }));
test('root has nothing inheritable or ambient', (t) =>
  t.deepEqual(processCapabilities(['CAP_CHOWN'], { nonRoot: false }), {
    bounding: ['CAP_CHOWN'],
    effective: ['CAP_CHOWN'],
    permitted: ['CAP_CHOWN'],
    inheritable: [],
    ambient: [],
  }));
