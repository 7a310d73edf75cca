/** What git gets for ssh: an agent that the caller names, or one line that says what is missing. */
import test from 'ava';
import { sshAccess } from '../../../../src/engine/build/ssh/access.ts';

test('without an agent there is no access, and an error only where it is needed', (t) => {
  t.is(sshAccess({}, 'git@h:a', false), undefined);
  t.is(sshAccess({ other: '/run/agent' }, 'git@h:a', false), undefined);
  const error = t.throws(() => sshAccess({}, 'ssh://u:secret@h/a', true), {
    message: /^cannot fetch ssh:\/\/u:xxxxx@h\/a: (?:no agent was given|ssh is not installed)$/,
  });
  t.regex(String((error as { fix?: string }).fix), /--ssh default|openssh-client/);
});

test('with the agent, the keys of hosts that are known', (t) => {
  try {
    const access = sshAccess({ default: '/run/agent' }, 'git@h:a', true)!;
    t.is(access.agent, '/run/agent');
    t.is(typeof access.knownHosts, 'string');
  } catch (error) {
    t.regex(String(error), /ssh is not installed/);
  }
});
