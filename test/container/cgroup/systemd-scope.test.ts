/** What systemd is asked, as busctl(1) takes it; that it does so is tried where there is one, by hand. */
import test from 'ava';
import { containerScope, scopeCall, type Scope } from '../../../src/container/cgroup/systemd-scope.ts';

const REST = 'Delegate b true CollectMode s inactive-or-failed';
/** the description of each has no blank */
const CALLS: [what: string, scope: Scope, properties: string][] = [
  ["a container's", named(containerScope('abc', 7)), `Description s x PIDs au 1 7 ${REST}`],
  [
    "a container's in a slice",
    named(containerScope('abc', 7, 'mine.slice')),
    `Slice s mine.slice Description s x PIDs au 1 7 ${REST}`,
  ],
  [
    'two processes, nothing delegated',
    { name: 'x.scope', description: 'x', pids: [7, 8], manager: 'system' },
    'Description s x PIDs au 2 7 8 CollectMode s inactive-or-failed',
  ],
];
const PROPERTIES = ['Slice', 'Description', 'PIDs', 'Delegate', 'CollectMode'];
for (const [what, scope, expected] of CALLS)
  test(`a scope: ${what}`, (t) => {
    const call = scopeCall(scope);
    t.is(call[0], `--${scope.manager}`);
    const [name, mode, count, ...rest] = call.slice(call.indexOf('ssa(sv)a(sa(sv))') + 1);
    t.deepEqual([name, mode, rest.pop()], [scope.name, 'fail', '0']);
    t.is(rest.join(' '), expected);
    t.is(Number(count), rest.filter((word) => PROPERTIES.includes(word)).length);
  });

test("a container's scope is told by its name and description", (t) => {
  const { name, description } = containerScope('0123456789abcdef', 7);
  t.deepEqual([name, description], ['husk-0123456789abcdef.scope', 'husk container 0123456789ab']);
});

function named(scope: Scope): Scope {
  return { ...scope, description: 'x' };
}
