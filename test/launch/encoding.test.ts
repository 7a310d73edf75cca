/**
 * The binary launch plan: what is encoded is accepted, and anything else is refused by `husk-init check` before a step
 * could run.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { LaunchPlan, Step } from '../../src/launch/plan.ts';
import { encodePlan, MAX_PLAN_BYTES, opName } from '../../src/launch/encoding.ts';
import { ROOT, TIMEOUT } from '../fixtures/user.ts';
import { INIT } from './launching.ts';

/** every step once, with every field and flag */
const EVERYTHING: Step[] = [
  { op: 'setns', path: '/proc/1/ns/net', type: 0x40000000 },
  { op: 'setns', path: '/proc/2/fd/20', type: 0x10000000, visible: true },
  { op: 'mapUsers', uid: '0 1 1\n1 2 65536\n', gid: '0 1 65537\n' },
  {
    op: 'sockets',
    make: ['rtnetlink', 'netfilter', 'udp', 'tcp', 'network-namespace', 'user-namespace'],
    address: '127.0.0.11',
  },
  { op: 'sockets', make: ['tcp'], address: '::', asking: true },
  { op: 'tap', name: 'v0123456789ab' },
  { op: 'setnsPid', pid: 1, types: 0x40000000 },
  { op: 'unshare', flags: 0x10000000 },
  { op: 'await', tag: 'idmap' },
  { op: 'fork' },
  { op: 'reaper' },
  { op: 'parentDeathSignal', signal: 9 },
  { op: 'setsid' },
  { op: 'newSessionKeyring' },
  { op: 'loopbackUp' },
  { op: 'setRoot', path: '/' },
  {
    op: 'mount',
    source: 'a',
    target: '/b',
    fstype: 'c',
    flags: 0xffffffff,
    data: 'd',
    inRoot: true,
    create: 'file',
    noSymlinks: true,
    modeFromTarget: true,
  },
  {
    op: 'mount',
    source: 'a',
    target: '/b',
    fstype: '',
    flags: 0x1000,
    data: '',
    attributes: { set: 1, clear: 2 },
    recursive: { set: 4, clear: 0x200000 },
    propagation: [1 << 18, (1 << 19) | 0x4000],
    create: 'like-source',
  },
  { op: 'mountAttributes', target: '/', set: 1, clear: 2, recursive: true, propagation: 1 << 18, inRoot: true },
  { op: 'holdTree', source: '/x', beneath: 'y', tree: 2047, recursive: true },
  { op: 'placeTree', target: '/x', tree: 2047, inRoot: true },
  { op: 'umount', target: '/x', flags: 2, inRoot: true },
  { op: 'mkdir', path: '/x', mode: 0o755, inRoot: true },
  { op: 'symlink', target: 'x', path: '/y', inRoot: true },
  { op: 'mknod', path: '/n', mode: 0o20666, major: 1, minor: 3, inRoot: true },
  { op: 'chown', path: '/n', uid: 1, gid: 2, inRoot: true },
  { op: 'chmod', path: '/n', mode: 0o600, inRoot: true },
  { op: 'writeFile', path: '/f', content: 'äöü', mode: 0o600, create: true, inRoot: true },
  { op: 'writeFile', path: '/f', content: new Uint8Array(1 << 20) },
  { op: 'maskPath', path: '/m' },
  { op: 'readonlyPath', path: '/r' },
  { op: 'pivotRoot', path: '/' },
  { op: 'chdir', path: '/', create: true, uid: 1, gid: 2 },
  { op: 'umask', mask: 0o22 },
  { op: 'sethostname', name: 'h' },
  { op: 'setdomainname', name: '' },
  { op: 'rlimit', resource: 7, soft: 2n ** 64n - 1n, hard: 0n },
  { op: 'setgroups', gids: [1, 2, 4294967295] },
  { op: 'setgid', gid: 1 },
  { op: 'setuid', uid: 1 },
  { op: 'setuser', user: 'a:b', additionalGroups: ['c', 'd'] },
  {
    op: 'capabilities',
    bounding: 2n ** 64n - 1n,
    effective: 1n,
    permitted: 2n,
    inheritable: 3n,
    ambient: 4n,
    rootOnly: true,
  },
  { op: 'noNewPrivileges' },
  { op: 'seccomp', filter: new Uint8Array(8), flags: 0 },
  { op: 'openPty', columns: 80, rows: 24, console: true },
  { op: 'chownStdio' },
  { op: 'closeFrom', fd: 3 },
  { op: 'environment', env: ['A=b', ''] },
  { op: 'exec', args: ['true', ''] },
];

const check = (bytes: Uint8Array, program = INIT) =>
  spawnSync(program, ['check'], { input: bytes, encoding: 'utf8', env: { ASAN_OPTIONS: 'detect_leaks=0' } });
const EXEC: Step = { op: 'exec', args: ['true'] };

/** u32 little-endian put at an offset of a copy */
function patched(plan: Uint8Array, offset: number, value: number): Buffer {
  const copy = Buffer.from(plan);
  copy.writeUInt32LE(value, offset);
  return copy;
}

test('a plan with every step is accepted', (t) => {
  const { status, stdout } = check(encodePlan(EVERYTHING));
  t.is(stdout, '');
  t.is(status, 0);
});

test('the opcodes are those of the C header', (t) => {
  const header = readFileSync(join(ROOT, 'guest/init/plan.h'), 'utf8');
  const names = /enum opcode \{([^}]*)\}/
    .exec(header)![1]!
    .match(/OP_\w+/g)!
    .slice(0, -1);
  const inC = names.map((name) => name.slice(3).toLowerCase().replaceAll(/_/g, ''));
  t.deepEqual(inC, names.map((_, index) => opName(index + 1)?.toLowerCase()) as string[]);
  t.is(opName(names.length + 1), undefined);
  t.is(opName(0), undefined);
});

test('every truncation of a plan is refused', (t) => {
  const plan = encodePlan(EVERYTHING.filter((step) => !(step.op === 'writeFile' && step.content.length > 100)));
  // one process for all of them would be a program of its own; every length near a step's start and end, and each
  // seventh
  for (let length = 0; length < plan.length; length += length < 200 || length > plan.length - 50 ? 1 : 7) {
    for (const whole of [false, true]) {
      const cut = plan.slice(0, length);
      // also with a total length that matches, so that the steps themselves must notice
      const { status } = check(whole && length >= 16 ? patched(cut, 8, length) : cut);
      if (status !== 1) return t.fail(`${length} of ${plan.length} bytes gave exit status ${status}`);
    }
  }
  t.pass();
});

test('a plan may end with exit', (t) => t.is(check(encodePlan([{ op: 'exit' }])).status, 0));

/** [what, the bytes, why it is refused] */
const plain = encodePlan([{ op: 'mkdir', path: '/x', mode: 1 }, EXEC]);
const REFUSED: [string, Uint8Array, RegExp][] = [
  ['nothing', new Uint8Array(), /truncated header/],
  ['another magic', patched(plain, 0, 1), /not a launch plan/],
  ['another version', patched(plain, 4, 3), /plan of another version/],
  ['a longer total', patched(plain, 8, plain.length + 1), /wrong total length/],
  [
    'bytes after the plan',
    patched(Buffer.concat([plain, Buffer.alloc(1)]), 8, plain.length + 1),
    /bytes after the last step/,
  ],
  ['no steps', patched(plain, 12, 0), /wrong number of steps/],
  [
    '5000 steps',
    encodePlan([...Array.from({ length: 5000 }, (): Step => ({ op: 'setsid' })), EXEC]),
    /wrong number of steps/,
  ],
  ['too few steps counted', patched(plain, 12, 1), /exec or exit is the last step/],
  ['an unknown opcode', patched(plain, 16, 200), /step 0: unknown opcode/],
  ['an unknown flag', patched(plain, 16, 14 | (64 << 16)), /step 0: (unknown flag|malformed payload)/],
  ['a step longer than the plan', patched(plain, 20, 0xffffffff), /step 0: step longer than the plan/],
  ['a string longer than its step', patched(plain, 24, 0xffffffff), /step 0: malformed payload/],
  ['a string of no bytes', patched(plain, 24, 0), /step 0: malformed payload/],
  [
    'a path over PATH_MAX',
    encodePlan([{ op: 'mkdir', path: `/${'x'.repeat(4096)}`, mode: 0 }, EXEC]),
    /string longer than PATH_MAX/,
  ],
  ['no exec', encodePlan([{ op: 'setsid' }]), /exec or exit is the last step/],
  ['exit in the middle', encodePlan([{ op: 'exit' }, EXEC]), /step 0: exec or exit is the last step/],
  ['sockets of no kind', encodePlan([{ op: 'sockets', make: [] }, EXEC]), /no sockets/],
  [
    'sockets of an unknown kind',
    patched(encodePlan([{ op: 'sockets', make: ['rtnetlink'] }, EXEC]), 29, 64),
    /unknown kind of socket/,
  ],
  ['a socket without its address', encodePlan([{ op: 'sockets', make: ['udp'] }, EXEC]), /an address is for udp/],
  [
    'an address without its socket',
    encodePlan([{ op: 'sockets', make: ['rtnetlink'], address: '127.0.0.11' }, EXEC]),
    /an address is for udp/,
  ],
  [
    'an address too long',
    encodePlan([{ op: 'sockets', make: ['tcp'], address: '1'.repeat(46) }, EXEC]),
    /address too long/,
  ],
  ['a tap without a name', encodePlan([{ op: 'tap', name: '' }, EXEC]), /not a name of an interface/],
  ['a tap with a long name', encodePlan([{ op: 'tap', name: 'v'.repeat(16) }, EXEC]), /not a name of an interface/],
  ["a tap whose name is the kernel's choice", encodePlan([{ op: 'tap', name: 'v%d' }, EXEC]), /not a name of/],
  ['a tap with a path', encodePlan([{ op: 'tap', name: '../x' }, EXEC]), /not a name of an interface/],
  ['a map of no ids', encodePlan([{ op: 'mapUsers', uid: '', gid: '0 0 1' }, EXEC]), /not a map of ids/],
  ['a map of words', encodePlan([{ op: 'mapUsers', uid: '0 0 1', gid: '0 0 x' }, EXEC]), /not a map of ids/],
  [
    'a map over 4095 bytes',
    encodePlan([{ op: 'mapUsers', uid: '0 0 1\n'.repeat(683), gid: '0 0 1' }, EXEC]),
    /string longer than PATH_MAX/,
  ],
  ['exec in the middle', encodePlan([EXEC, EXEC]), /step 0: exec or exit is the last step/],
  ['exec of nothing', encodePlan([{ op: 'exec', args: [] }]), /no arguments/],
  ['nine forks', encodePlan([...Array.from({ length: 9 }, (): Step => ({ op: 'fork' })), EXEC]), /too many forks/],
  ['an unknown await', encodePlan([{ op: 'await', tag: 'idmap' }, EXEC]).fill(9, 24, 25), /unknown tag/],
  [
    'a filter of no instructions',
    encodePlan([{ op: 'seccomp', filter: new Uint8Array(), flags: 0 }, EXEC]),
    /filter of a wrong length/,
  ],
  [
    'half an instruction',
    encodePlan([{ op: 'seccomp', filter: new Uint8Array(12), flags: 0 }, EXEC]),
    /filter of a wrong length/,
  ],
  [
    '4097 instructions',
    encodePlan([{ op: 'seccomp', filter: new Uint8Array(8 * 4097), flags: 0 }, EXEC]),
    /filter of a wrong length/,
  ],
  ['a signal 65', encodePlan([{ op: 'parentDeathSignal', signal: 65 }, EXEC]), /no such signal/],
  ['stdio closed', encodePlan([{ op: 'closeFrom', fd: 2 }, EXEC]), /stdio would be closed/],
  [
    'a terminal too large',
    encodePlan([{ op: 'openPty', columns: 65536, rows: 1, console: false }, EXEC]),
    /terminal too large/,
  ],
  [
    'more strings than execve(2) takes',
    encodePlan([{ op: 'setuser', user: 'x', additionalGroups: Array.from({ length: (1 << 20) + 1 }, () => '') }, EXEC]),
    /malformed payload/,
  ],
  [
    'more groups than a process has',
    encodePlan([{ op: 'setgroups', gids: Array.from({ length: 65_537 }, () => 1) }, EXEC]),
    /malformed payload/,
  ],
  [
    'a string over 128 KiB',
    encodePlan([{ op: 'setuser', user: 'x', additionalGroups: ['x'.repeat(1 << 17)] }, EXEC]),
    /malformed payload/,
  ],
  [
    'a tree of too high a number',
    encodePlan([{ op: 'holdTree', source: '/', tree: 2048, recursive: false }, EXEC]),
    /too many trees held/,
  ],
  [
    'a file over 1 MiB',
    encodePlan([{ op: 'writeFile', path: '/x', content: new Uint8Array((1 << 20) + 1) }, EXEC]),
    /malformed payload/,
  ],
  ['over 16 MiB', Buffer.alloc(MAX_PLAN_BYTES + 1), /plan longer than 16 MiB/],
];
for (const [what, bytes, why] of REFUSED) {
  test(`refused: ${what}`, (t) => {
    const { status, stdout } = check(bytes);
    t.regex(stdout, why);
    t.is(status, 1);
  });
}

for (const [what, plan] of [
  ['as many arguments as the kernel', [{ op: 'exec', args: Array.from({ length: 629_145 }, () => '') }]],
  ['an argument of 128 KiB less its NUL', [{ op: 'exec', args: ['x'.repeat((1 << 17) - 1)] }]],
  [
    '6 MiB of environment',
    [{ op: 'environment', env: Array.from({ length: 48 }, (_, index) => `A${index}=${'x'.repeat(131_000)}`) }, EXEC],
  ],
] as [string, Step[]][])
  test(`taken: ${what}`, (t) => t.is(check(encodePlan(plan)).status, 0));

test('the encoder refuses what no C string can say, and what is too long', (t) => {
  t.throws(() => encodePlan([{ op: 'exec', args: ['a\0b'] }]), { message: '"a\\u0000b" contains a NUL byte' });
  t.throws(() => encodePlan([{ op: 'exec', args: Array.from({ length: 300 }, () => 'x'.repeat(60_000)) }]), {
    message: /longer than 16777216 bytes/,
  });
  t.throws(() => encodePlan([{ op: 'exec', args: ['x', 'é'.repeat(1 << 16)] }]), {
    message: 'argument 1 has 131072 bytes: Linux gives a program at most 131071 in one',
  });
  t.throws(() => encodePlan([{ op: 'environment', env: [`BIG=${'x'.repeat(1 << 17)}`] }, EXEC]), {
    message: /^the environment variable BIG has 131076 bytes/,
  });
  t.throws(() => encodePlan([{ op: 'nosuch' } as unknown as Step]), { message: /unknown launch step/ });
});

/** A small generator with a seed, so that a failure can be run again. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const INTERESTING = [0, 1, 7, 8, 16, 255, 4095, 4096, 0x7fffffff, 0x80000000, 0xffffffff];

function mutated(seedPlan: Uint8Array, random: (below: number) => number): Buffer {
  let bytes = Buffer.from(seedPlan);
  for (let changes = 1 + random(4); changes > 0; changes--) {
    const at = random(bytes.length);
    const kind = random(5);
    if (kind === 0) bytes[at] = random(256);
    else if (kind === 1) bytes[at] = bytes[at]! ^ (1 << random(8));
    else if (kind === 2 && at + 4 <= bytes.length) bytes.writeUInt32LE(INTERESTING[random(INTERESTING.length)]!, at);
    else if (kind === 3) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random(8))]);
    else bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(Math.max(0, at - random(32))), Buffer.alloc(0)]);
    if (bytes.length < 16) return Buffer.from(seedPlan);
  }
  // mostly with a true length, so that the mutation is looked at
  if (random(8) > 0) bytes.writeUInt32LE(bytes.length, 8);
  return bytes;
}

/** `husk-init check-many`: records of u32 length and a plan; the sanitizer ends the process at the first bad access */
test('random changes never make the reader leave its bytes', (t) => {
  t.timeout(TIMEOUT);
  execFileSync('make', ['-s', '-C', join(ROOT, 'guest/init'), 'sanitized']);
  const program = join(ROOT, 'build/husk-init-asan');
  t.true(existsSync(program));
  const seconds = Number(process.env['HUSK_FUZZ_SECONDS'] ?? 5);
  const firstSeed = Number(process.env['HUSK_FUZZ_SEED'] ?? Date.now() % 1_000_000);
  const small: LaunchPlan = EVERYTHING.filter((step) => !(step.op === 'writeFile' && step.content.length > 100));
  const seeds = [
    encodePlan(small),
    plain,
    encodePlan([{ op: 'environment', env: ['A=b', 'C=d'] }, { op: 'setgroups', gids: [1, 2] }, EXEC]),
    encodePlan([
      { op: 'mapUsers', uid: '0 1 1\n', gid: '0 1 1\n' },
      { op: 'sockets', make: ['udp'], address: '127.0.0.11' },
      { op: 'tap', name: 'v0' },
      { op: 'exit' },
    ]),
  ];
  const end = Date.now() + seconds * 1000;
  let plans = 0;
  let accepted = 0;
  for (let seed = firstSeed; Date.now() < end; seed++) {
    const random = randomNumbers(seed + 1);
    const batch: Buffer[] = [];
    for (let index = 0; index < 2000; index++) {
      const bytes = mutated(seeds[random(seeds.length)]!, random);
      const length = Buffer.alloc(4);
      length.writeUInt32LE(bytes.length);
      batch.push(length, bytes);
    }
    const { status, stdout, stderr } = spawnSync(program, ['check-many'], {
      input: Buffer.concat(batch),
      encoding: 'utf8',
      env: { ASAN_OPTIONS: 'detect_leaks=0' },
      maxBuffer: 1 << 26,
    });
    t.is(status, 0, `HUSK_FUZZ_SEED=${seed}: ${stderr.slice(0, 2000)}`);
    const [all, good] = stdout.split(' ').map(Number) as [number, number];
    plans += all;
    accepted += good;
  }
  t.log(`${plans} plans, ${accepted} of them accepted`);
  t.true(accepted > 0 && accepted < plans, 'a fuzzer that only sees one verdict sees nothing');
});
