/** The lint's rules for single instructions of a stage, as it is planned. */
import type { ImageConfig } from '../../store/contract.ts';
import type { StageCommand } from '../dockerfile/parse.ts';
import type { Lint } from './lint.ts';
import type { SourceRange } from '../operations.ts';
import { sourcePath } from '../dockerfile/source-path.ts';
import { exposedPorts } from '../dockerfile/ports.ts';

/** What was seen in a stage so far. */
export interface Seen {
  /** whether a WORKDIR of this file stands before */
  hasWorkdir: boolean;
  /** the last instruction of those of which only the last counts */
  once: Map<string, SourceRange>;
}

interface Surroundings {
  config: NonNullable<ImageConfig['config']>;
  ignored?: (path: string) => boolean;
  expand(text: string): { text: string; words: string[] };
}

const SECRET = /(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)/i;
const NO_SECRET = /(?:_|^)(?:public|file|version)(?:_|$)/i;

/** @returns whether a variable of this name holds a secret, by its name */
export const isSecretName = (name: string) => SECRET.test(name) && !NO_SECRET.test(name);

export function warnOfCommand(lint: Lint, command: StageCommand, seen: Seen, surroundings: Surroundings): void {
  const { range, comments, word } = command;
  const warn = (rule: Parameters<Lint['warn']>[0], message: string, place = range) =>
    lint.warn(rule, place, message, comments);
  const secret = (name: string) => {
    if (isSecretName(name))
      warn(
        'SecretsUsedInArgOrEnv',
        `Do not use ARG or ENV instructions for sensitive data (${command.name} "${name}")`,
      );
  };
  switch (command.kind) {
    case 'arg':
      for (const { name } of command.args) secret(name);
      break;
    case 'env':
    case 'label':
      if (command.legacy)
        warn('LegacyKeyValueFormat', `"${word} key=value" should be used instead of legacy "${word} key value" format`);
      if (command.kind === 'env') for (const { name } of command.pairs) secret(name);
      break;
    case 'cmd':
    case 'entrypoint':
      once(warn, command, seen);
      if (command.line.shell && !surroundings.config.Shell?.length)
        warn(
          'JSONArgsRecommended',
          `JSON arguments recommended for ${word} to prevent unintended behavior related to OS signals`,
        );
      break;
    case 'healthcheck':
      once(warn, command, seen);
      break;
    case 'workdir': {
      const path = surroundings.expand(command.value).text;
      if (!seen.hasWorkdir && !path.startsWith('/'))
        warn('WorkdirRelativePath', `Relative workdir "${path}" can have unexpected results if the base image changes`);
      seen.hasWorkdir = true;
      break;
    }
    case 'expose':
      for (const written of command.words)
        for (const port of surroundings.expand(written).words) {
          const { oddProtocol, hasHost } = exposedPorts(port);
          if (oddProtocol !== undefined)
            warn('ExposeProtoCasing', `Defined protocol '${port}' in EXPOSE instruction should be lowercase`);
          if (hasHost)
            warn(
              'ExposeInvalidFormat',
              `EXPOSE instruction should not define an IP address or host-port mapping, found '${port}'`,
            );
        }
      break;
    case 'copy':
      if (command.from !== undefined || !surroundings.ignored) break;
      for (const source of command.sources) {
        if (typeof source !== 'string') continue;
        const path = sourcePath(surroundings.expand(source).text);
        if (path !== '.' && !path.includes('://') && surroundings.ignored(path))
          warn(
            'CopyIgnoredFile',
            `Attempting to ${command.add ? 'Add' : 'Copy'} file "${path}" that is excluded by .dockerignore`,
          );
      }
      break;
    default:
  }
}

/** Only the last of them counts: the earlier one is the one to remove. */
function once(
  warn: (rule: 'MultipleInstructionsDisallowed', message: string, place: SourceRange) => void,
  { kind, word, range }: StageCommand,
  { once: last }: Seen,
): void {
  const before = last.get(kind);
  if (before)
    warn(
      'MultipleInstructionsDisallowed',
      `Multiple ${word} instructions should not be used in the same stage because only the last one will be used`,
      before,
    );
  last.set(kind, range);
}
