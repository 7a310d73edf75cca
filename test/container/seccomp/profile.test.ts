/** Docker's profile format: what it means, and that no file, however wrong, does more than fail in one line. */
import { randomInt } from 'node:crypto';
import test from 'ava';
import { HuskError } from '../../../src/errors.ts';
import { compileSeccomp } from '../../../src/container/seccomp/compile.ts';
import { defaultProfile } from '../../../src/container/seccomp/default-profile.ts';
import { parseProfile, resolveProfile } from '../../../src/container/seccomp/profile.ts';

const FACTS = { capabilities: ['CAP_CHOWN', 'CAP_SYS_ADMIN'], kernel: '5.10.0-21-amd64' };
const allow = (more: object = {}) => ({ names: ['read'], action: 'SCMP_ACT_ALLOW', ...more });
const text = (value: object) => JSON.stringify({ defaultAction: 'SCMP_ACT_ERRNO', ...value });

/** [what, a rule's conditions, does it hold] */
const conditions: [string, object, boolean][] = [
  ['none', {}, true],
  ['nulls', { includes: null, excludes: null, args: null }, true],
  ['empty', { includes: {}, excludes: {} }, true],
  ['has the capability', { includes: { caps: ['CAP_CHOWN'] } }, true],
  ['has not all capabilities', { includes: { caps: ['CAP_CHOWN', 'CAP_KILL'] } }, false],
  ['has an excluded capability', { excludes: { caps: ['CAP_KILL', 'CAP_CHOWN'] } }, false],
  ['has no excluded capability', { excludes: { caps: ['CAP_KILL'] } }, true],
  ['this processor', { includes: { arches: ['arm64', 'amd64'] } }, true],
  ['another processor', { includes: { arches: ['arm64'] } }, false],
  ['not this processor', { excludes: { arches: ['amd64'] } }, false],
  ['an older kernel', { includes: { minKernel: '4.8' } }, true],
  ['this kernel', { includes: { minKernel: '5.10' } }, true],
  ['a newer kernel', { includes: { minKernel: '5.11' } }, false],
  ['a newer major', { includes: { minKernel: '6.0' } }, false],
  ['not from this kernel on', { excludes: { minKernel: '5.4' } }, false],
];
for (const [what, condition, holds] of conditions)
  test(`a rule for ${what} ${holds ? 'holds' : 'does not hold'}`, (t) =>
    t.is(resolveProfile(parseProfile(text({ syscalls: [allow(condition)] })), FACTS).syscalls!.length, holds ? 1 : 0));

test('the old form with one name', (t) =>
  t.deepEqual(
    parseProfile(text({ syscalls: [{ name: 'read', action: 'SCMP_ACT_ALLOW', args: [] }] })).syscalls[0]!.names,
    ['read'],
  ));
test('archMap gives the sub-architectures', (t) =>
  t.deepEqual(
    resolveProfile(
      parseProfile(text({ archMap: [{ architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86'] }] })),
      FACTS,
    ).architectures,
    ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86'],
  ));
test('the default goes through its own format', (t) =>
  t.deepEqual(
    resolveProfile(parseProfile(JSON.stringify(defaultProfile())), FACTS),
    resolveProfile(defaultProfile(), FACTS),
  ));

const wrong: [string, string, RegExp][] = [
  ['no JSON', '{', /JSON/],
  ['a list', '[]', /the profile is not an object/],
  ['null', 'null', /the profile is not an object/],
  ['no default action', '{}', /defaultAction is not a string/],
  [
    'both kinds of architectures',
    text({ architectures: ['SCMP_ARCH_X86'], archMap: [{ architecture: 'SCMP_ARCH_X86_64' }] }),
    /both 'architectures' and 'archMap' are specified/,
  ],
  [
    'name and names',
    text({ syscalls: [{ name: 'a', names: ['b'], action: 'SCMP_ACT_ALLOW' }] }),
    /both 'name' and 'names' are specified/,
  ],
  ['rules that are no list', text({ syscalls: {} }), /syscalls is not a list/],
  ['a rule that is no object', text({ syscalls: [7] }), /syscalls\[0\] is not an object/],
  [
    'names that are numbers',
    text({ syscalls: [allow(), { names: [1], action: 'x' }] }),
    /syscalls\[1\]\.names\[0\] is not a string/,
  ],
  [
    'a value JSON rounds',
    '{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"op":"SCMP_CMP_EQ","value":18446744073709551615}]}]}',
    /not a whole number between 0 and 2\^53/,
  ],
  [
    'a negative value',
    text({ syscalls: [allow({ args: [{ index: 0, op: 'SCMP_CMP_EQ', value: -1 }] })] }),
    /not a whole number/,
  ],
  ['a kernel that is none', text({ syscalls: [allow({ includes: { minKernel: 'x' } })] }), /not a kernel version/],
  ['too many rules', text({ syscalls: Array.from({ length: 5000 }, () => allow()) }), /more than 4096 rules/],
  [
    'too many names',
    text({ syscalls: [allow({ names: Array.from({ length: 70_000 }, () => 'r') })] }),
    /more than 65536 calls/,
  ],
  [
    'too many args',
    text({
      syscalls: [allow({ args: Array.from({ length: 13 }, () => ({ index: 0, op: 'SCMP_CMP_EQ', value: 1 })) })],
    }),
    /more than 12 args/,
  ],
  ['a megabyte', ' '.repeat((1 << 20) + 1), /more than 1048576/],
];
for (const [what, json, message] of wrong)
  test(`refused: ${what}`, (t) => {
    const error = t.throws(() => parseProfile(json), { instanceOf: HuskError })!;
    t.regex(error.message, /^decoding seccomp profile failed: /);
    t.regex(error.message, message);
  });

const uncompilable: [string, object, RegExp][] = [
  ['an unknown action', { action: 'SCMP_ACT_NOPE' }, /unknown action "SCMP_ACT_NOPE"/],
  ['notification', { action: 'SCMP_ACT_NOTIFY' }, /not supported/],
  ['an unknown operator', { args: [{ index: 0, op: 'EQ', value: 1 }] }, /unknown operator "EQ"/],
  ['a seventh argument', { args: [{ index: 6, op: 'SCMP_CMP_EQ', value: 1 }] }, /index out of range: 6/],
  ['an errno above 4095', { action: 'SCMP_ACT_ERRNO', errnoRet: 4096 }, /errno out of range/],
];
for (const [what, rule, message] of uncompilable)
  test(`does not compile: ${what}`, (t) =>
    void t.throws(() => compileSeccomp(resolveProfile(parseProfile(text({ syscalls: [allow(rule)] })), FACTS)), {
      instanceOf: HuskError,
      message,
    }));
test('does not compile: an unknown flag', (t) =>
  void t.throws(() => compileSeccomp(resolveProfile(parseProfile(text({ flags: ['X'] })), FACTS)), {
    message: /unknown flag "X"/,
  }));
test('does not compile: more than the kernel takes', (t) => {
  const rules = Array.from({ length: 2000 }, (_, value) => allow({ args: [{ index: 0, op: 'SCMP_CMP_EQ', value }] }));
  t.throws(() => compileSeccomp(resolveProfile(parseProfile(text({ syscalls: rules })), FACTS)), {
    message: /instructions, the kernel takes 4096/,
  });
});

test('any damage to a profile is a HuskError or a profile that compiles', (t) => {
  const good = JSON.stringify(defaultProfile());
  const pieces = ['"', '{', '}', '[', ']', ',', ':', 'null', '-1', '1e99', '"SCMP_ACT_KILL"', '\\u0000', '"args"', '0'];
  for (let round = 0; round < 300; round++) {
    const at = randomInt(good.length);
    const damaged = good.slice(0, at) + pieces[randomInt(pieces.length)]! + good.slice(at + randomInt(8));
    try {
      t.true(compileSeccomp(resolveProfile(parseProfile(damaged), FACTS)).filter.length > 0);
    } catch (error) {
      if (!(error instanceof HuskError))
        t.fail(`${String(error)} for damage at ${at}: ${damaged.slice(at - 20, at + 20)}`);
    }
  }
});
