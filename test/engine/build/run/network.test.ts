/** What is told of steps without a way out, and what can be done about it. */
import test from 'ava';
import { wayOutWarning } from '../../../../src/engine/build/run/network.ts';
import { missingWayOut, wayOutProblem } from '../../../../src/network/way-out.ts';

const MISSING = { reason: '/dev/net/tun: no such device', fix: 'sudo modprobe tun' };
const CASES: [reason: string | undefined, missing: typeof MISSING | undefined, said: string | undefined][] = [
  [undefined, undefined, undefined],
  [undefined, MISSING, 'the steps have no way out: /dev/net/tun: no such device (fix: sudo modprobe tun)'],
  ['pasta failed', MISSING, 'the steps have no way out: pasta failed'],
  ['pasta failed', undefined, 'the steps have no way out: pasta failed'],
];
for (const [reason, missing, said] of CASES)
  test(`${reason}, ${missing?.reason}`, (t) => t.is(wayOutWarning(reason, missing), said));

test('what this host lacks has a fix, for a step as for a container', (t) => {
  const [missing, problem] = [missingWayOut(), wayOutProblem()];
  t.is(problem?.fix, missing?.fix);
  t.is(problem === undefined, missing === undefined);
  if (missing) t.true(problem!.message.endsWith(missing.reason));
});
