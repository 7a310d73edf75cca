/**
 * `--change` of commit and import: instructions that alter an image's config, by the table that Dockerfiles are read
 * with. Each is applied to the config that the ones before it have left. Pure: text in, a config altered.
 *
 * Source: the instructions that `docker import` and `docker commit` allow; their error texts.
 */
import { HuskError } from '../../../errors.ts';
import type { ImageConfig } from '../../store/contract.ts';
import { ExpansionBudget } from '../dockerfile/budget.ts';
import type { ConfigCommand } from '../dockerfile/commands.ts';
import { CHANGES, readCommand } from '../dockerfile/instructions.ts';
import { readInstructions, withoutPlace } from '../dockerfile/parse.ts';
import { expand, type Escape } from '../dockerfile/words.ts';
import { applyInstruction, type Expander } from './config.ts';
import { nameOf, valueOf } from './scope.ts';

type Execution = NonNullable<ImageConfig['config']>;

/**
 * Applies changes. A new ENTRYPOINT removes the CMD that was there before the changes, as in Docker.
 * @param config the config that is altered
 * @param changes each one or several instructions, as lines of a Dockerfile
 * @throws HuskError `invalid` with Docker's text
 */
export function applyChanges(config: Execution, changes: readonly string[]): void {
  const budget = new ExpansionBudget();
  let hasOwnCommand = false;
  for (const { command, escape } of changes.flatMap(commandsOf)) {
    applyInstruction({ config }, command, expander(config, escape, budget), hasOwnCommand);
    if (command.kind === 'cmd') hasOwnCommand = true;
  }
}

function commandsOf(change: string): { command: ConfigCommand; escape: Escape }[] {
  if (change.includes('\0')) throw new HuskError('a change has a NUL byte', { kind: 'invalid' });
  const hasInstruction = change.split('\n').some((line) => line.trim() !== '' && !line.trimStart().startsWith('#'));
  if (!hasInstruction) return [];
  const { syntaxes, reader } = withoutPlace(() => readInstructions(new TextEncoder().encode(change)));
  return syntaxes.map((syntax) => {
    if (!CHANGES.includes(syntax.name))
      throw new HuskError(`${syntax.word} is not a valid change command`, {
        kind: 'invalid',
        fix: `use one of ${CHANGES.join(' ')}`,
      });
    return { command: readCommand(syntax) as ConfigCommand, escape: reader.directives.escape };
  });
}

/** An instruction sees the variables that the instructions before it have set. */
function expander(config: Execution, escape: Escape, budget: ExpansionBudget): Expander {
  const variables = new Map((config.Env ?? []).map((entry) => [nameOf(entry), valueOf(entry)]));
  const options = { escape, variables, budget };
  return {
    word: (text) => expand(text, options).text,
    words: (text) => expand(text, options).words,
    set: () => {},
    spend: (entries) => budget.spend(entries),
  };
}
