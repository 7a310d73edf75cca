/** What git needs for ssh: the agent that `--ssh` names, and the keys of hosts that this user knows. */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { HuskError } from '../../../errors.ts';
import { readOptional } from '../../../host/files/read-optional.ts';
import { redacted } from '../../../images/build/remote/git-url.ts';
import { findProgram } from '../../../rootless/programs.ts';

/** characters: a host's key takes some hundred */
const MAX_KNOWN_HOSTS = 4 << 20;

/**
 * @param ssh sockets of agents by id
 * @param isNeeded false: where something is missing there is no access, and no error
 * @throws HuskError `unsupported`, `invalid` with the fix
 */
export function sshAccess(
  ssh: Readonly<Record<string, string>>,
  repository: string,
  isNeeded: boolean,
): { agent: string; knownHosts: string } | undefined {
  const agent = ssh['default'];
  const hasProgram = findProgram('ssh', '/usr/local/bin:/usr/bin:/bin') !== undefined;
  if (agent === undefined || !hasProgram) {
    if (!isNeeded) return undefined;
    const [why, fix] = hasProgram
      ? ['no agent was given', 'give one with --ssh default']
      : ['ssh is not installed', 'apt install openssh-client'];
    throw new HuskError(`cannot fetch ${redacted(repository)}: ${why}`, { kind: 'unsupported', fix });
  }
  const files = [join(homedir(), '.ssh/known_hosts'), '/etc/ssh/ssh_known_hosts'];
  const knownHosts = files.map((file) => readOptional(file) ?? '').join('\n');
  return { agent, knownHosts: knownHosts.slice(0, MAX_KNOWN_HOSTS) };
}
