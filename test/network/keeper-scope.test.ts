/** When a keeper leaves the unit that it is started in: decided by words, for there is no systemd where tests run. */
import test from 'ava';
import { keeperScope, leavingService } from '../../src/network/keeper-scope.ts';

const USER = '/user.slice/user-1000.slice/user@1000.service';
const RUN = '/run/user/1000';
const BOTH = ['/run/systemd/private', `${RUN}/systemd/private`];
const UNITS: [what: string, path: string, uid: number, expected: 'user' | 'system' | undefined][] = [
  ["a service of the user's", `${USER}/app.slice/shop.service`, 1000, 'user'],
  ['a cgroup of its own in a service', `${USER}/app.slice/shop.service/workers/1`, 1000, 'user'],
  ["a service of the system's, as an ordinary user", '/system.slice/shop.service', 1000, 'user'],
  ["a service of the system's, as root", '/system.slice/shop.service', 0, 'system'],
  ['a service in a slice of its own', '/system.slice/system-shop.slice/shop@1.service', 0, 'system'],
  ["a service of root's own systemd", '/user.slice/user-0.slice/user@0.service/app.slice/shop.service', 0, 'system'],
  ['a session', '/user.slice/user-1000.slice/session-3.scope', 1000, undefined],
  ['a session, as root', '/user.slice/user-0.slice/session-1.scope', 0, undefined],
  ['a terminal of a desktop', `${USER}/app.slice/vte-spawn-1.scope`, 1000, undefined],
  ["a container's own scope", `${USER}/app.slice/husk-0123.scope`, 1000, undefined],
  ["a scope in a service's slice", '/system.slice/docker-0123.scope', 0, undefined],
  ["the user's systemd itself", USER, 1000, undefined],
  ["the user's systemd, its own leaf", `${USER}/init.scope`, 1000, undefined],
  ['a slice', '/user.slice', 1000, undefined],
  ['no unit', '/husk/supervisor', 1000, undefined],
  ['the root', '/', 0, undefined],
  ['outside of what this process sees', '/../shop.service', 1000, undefined],
];
for (const [what, path, uid, expected] of UNITS)
  test(`started in ${what}: ${expected ?? 'stays'}`, (t) =>
    t.is(leavingService({ self: `0::${path}\n`, uid, runtimeDir: RUN, has: (file) => BOTH.includes(file) }), expected));

const SERVICE = '0::/system.slice/shop.service\n';
const MISSING: [what: string, sources: Parameters<typeof leavingService>[0]][] = [
  ['no systemd', { self: SERVICE, uid: 0, has: () => false }],
  ["no systemd of the user's", { self: SERVICE, uid: 1000, runtimeDir: RUN, has: (file) => file === BOTH[0] }],
  ['no runtime folder', { self: SERVICE, uid: 1000, runtimeDir: undefined, has: () => true }],
  ['no cgroup v2', { self: '1:name=systemd:/system.slice/shop.service\n', uid: 0, has: () => true }],
];
for (const [what, sources] of MISSING)
  test(`a service, and ${what}: stays`, (t) => t.is(leavingService(sources), undefined));

test('keeper and pin leave together, for each ends with the other', (t) =>
  t.deepEqual(keeperScope('user', 7, 8), {
    name: 'husk-keeper-7.scope',
    description: 'husk network',
    pids: [7, 8],
    manager: 'user',
  }));
