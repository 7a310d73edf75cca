/** `--change`: what each instruction makes of a config, and what is refused in Docker's words. */
import test from 'ava';
import { HuskError } from '../../../../src/errors.ts';
import { applyChanges } from '../../../../src/images/build/plan/changes.ts';
import type { ImageConfig } from '../../../../src/images/store/contract.ts';

type Execution = NonNullable<ImageConfig['config']>;
const changing = test.macro({
  exec(t, changes: string[], expected: Execution) {
    const config: Execution = {};
    applyChanges(config, changes);
    t.deepEqual(config, expected);
  },
  title: (name, changes?: unknown) => `--change ${name || (changes as string[]).join('; ')}`,
});
test(changing, ['CMD ["a", "b"]'], { Cmd: ['a', 'b'] });
test(changing, ['cmd echo  "hi"'], { Cmd: ['/bin/sh', '-c', 'echo  "hi"'] });
test(changing, ['CMD [broken'], { Cmd: ['/bin/sh', '-c', '[broken'] });
test(changing, ['ENTRYPOINT ["/x"]', 'CMD []'], { Entrypoint: ['/x'], Cmd: [] });
test(changing, ['ENV A=1 B="two words" C=t\\ w'], { Env: ['A=1', 'B=two words', 'C=t w'] });
test(changing, ['ENV A two  words'], { Env: ['A=two  words'] });
test(changing, ['ENV A=1', 'ENV A=2 B=$A', 'ENV C=${A}-${X:-d}-${A:+s}'], { Env: ['A=2', 'B=1', 'C=2-d-s'] });
test(changing, ['ENV A=\'$B\' C="$$" D=\\$'], { Env: ['A=$B', 'C=', 'D=$'] });
test('a line that goes on', changing, ['ENV A=1 \\\n  B=2'], { Env: ['A=1', 'B=2'] });
test(changing, ['EXPOSE 80 53/UDP 8000-8002'], {
  ExposedPorts: { '80/tcp': {}, '53/udp': {}, '8000/tcp': {}, '8001/tcp': {}, '8002/tcp': {} },
});
test(changing, ['LABEL a=b "c d"="e f"', 'LABEL a=g'], { Labels: { a: 'g', 'c d': 'e f' } });
test(changing, ['ONBUILD RUN make'], { OnBuild: ['RUN make'] });
test(changing, ['STOPSIGNAL SIGQUIT', 'USER 1:2'], { StopSignal: 'SIGQUIT', User: '1:2' });
test(changing, ['VOLUME /a /b', 'VOLUME ["/c d"]'], { Volumes: { '/a': {}, '/b': {}, '/c d': {} } });
test(changing, ['WORKDIR /a', 'WORKDIR b/../c'], { WorkingDir: '/a/c' });
test(changing, ['HEALTHCHECK --interval=1m30s --retries=3 CMD curl x'], {
  Healthcheck: { Test: ['CMD-SHELL', 'curl x'], Interval: 90e9, Retries: 3 },
});
test(changing, ['HEALTHCHECK CMD ["a"]'], { Healthcheck: { Test: ['CMD', 'a'] } });
test(changing, ['HEALTHCHECK NONE'], { Healthcheck: { Test: ['NONE'] } });
test(changing, ['# a remark', ''], {});
test('several lines', changing, ['# escape=`\nENV A=`$A\nUSER u'], { Env: ['A=$A'], User: 'u' });
test(changing, ['CMD a', 'ENTRYPOINT ["b"]'], { Cmd: ['/bin/sh', '-c', 'a'], Entrypoint: ['b'] });
test('a new ENTRYPOINT forgets the CMD that was there', (t) => {
  const config: Execution = { Cmd: ['old'], Entrypoint: ['older'] };
  applyChanges(config, ['USER u', 'ENTRYPOINT ["new"]']);
  t.deepEqual(config, { Entrypoint: ['new'], User: 'u' });
});
test('changes that repeat themselves are bounded', (t) => {
  const changes = ['ENV A=aaaaaaaaaaaaaaaa', ...Array.from({ length: 40 }, () => 'ENV A=$A$A')];
  t.throws(() => applyChanges({}, changes), { instanceOf: HuskError, message: /expand to more than 1048576/ });
});
test(changing, ['LABEL __proto__=x'], { Labels: Object.fromEntries([['__proto__', 'x']]) });

const badChange = test.macro({
  exec(t, change: string, message: string) {
    t.throws(() => applyChanges({}, [change]), { instanceOf: HuskError, message });
  },
  title: (_, change?: unknown) => `--change refuses ${String(change)}`,
});
test(badChange, 'ENV', 'ENV requires at least one argument');
test(badChange, 'ENV A', 'ENV must have two arguments');
test(badChange, 'ENV A=1 B', `Syntax error - can't find = in "B". Must be of the form: name=value`);
test(
  badChange,
  'ENV A="1',
  'failed to process "\\"1": unexpected end of statement while looking for matching double-quote',
);
test(badChange, 'ENV A=${B', `failed to process "\${B": syntax error: missing '}'`);
test(badChange, 'EXPOSE 70000', 'invalid containerPort: 70000');
test(badChange, 'EXPOSE 9-8', 'invalid containerPort: 9-8');
test(badChange, 'ONBUILD ONBUILD RUN x', "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
test(badChange, 'ONBUILD FROM x', "FROM isn't allowed as an ONBUILD trigger");
test(badChange, 'USER', 'USER requires exactly one argument');
test(badChange, 'ENV A=a\0b', 'a change has a NUL byte');
test(badChange, 'RUN id', 'RUN is not a valid change command');
test(badChange, 'ENV --x A=1', 'unknown flag: x');
test(badChange, 'CMD [1]', 'when using JSON array syntax, arrays must be comprised of strings only');
test(badChange, 'VOLUME [""]', 'VOLUME specified can not be an empty string');
test(badChange, 'WORKDIR', 'WORKDIR requires exactly one argument');
test(badChange, 'HEALTHCHECK', 'HEALTHCHECK requires at least one argument');
test(badChange, 'HEALTHCHECK CMD', 'Missing command after HEALTHCHECK CMD');
test(badChange, 'HEALTHCHECK --interval=1us CMD x', 'Interval "interval" cannot be less than 1ms');
test(badChange, 'constructor x', 'constructor is not a valid change command');
