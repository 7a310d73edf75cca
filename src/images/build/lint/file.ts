/** The lint's rules for the file as a whole: casing, names of stages, FROM lines, comments. */
import { HuskError } from '../../../errors.ts';
import { parseReference } from '../../store/reference.ts';
import type { ArgCommand, FromCommand } from '../dockerfile/commands.ts';
import type { Dockerfile } from '../dockerfile/parse.ts';
import { meantName, type Lint } from './lint.ts';
import type { Expansion } from '../dockerfile/words.ts';
import { parsePlatform } from '../../store/platform.ts';

const RESERVED = new Set(['context', 'scratch']);

/** Warns of what needs no variables. */
export function warnOfFile(lint: Lint, { stages, globals, emptyContinuations }: Dockerfile): void {
  for (const range of emptyContinuations) lint.warn('NoEmptyContinuation', range, 'Empty continuation line');
  warnOfCasing(lint, stages);
  const names = new Set<string>();
  for (const { from, commands } of stages) {
    warnOfStageName(lint, from, names);
    warnOfComments(lint, from, from.stage === undefined ? [] : [from.stage]);
    for (const command of commands) {
      if (command.kind === 'maintainer')
        lint.warn(
          'MaintainerDeprecated',
          command.range,
          'Maintainer instruction is deprecated in favor of using label',
          command.comments,
        );
      if (command.kind === 'arg')
        warnOfComments(
          lint,
          command,
          command.args.map(({ name }) => name),
        );
    }
  }
  for (const command of globals)
    warnOfComments(
      lint,
      command,
      command.args.map(({ name }) => name),
    );
}

function warnOfStageName(lint: Lint, { range, stage, written, word, comments }: FromCommand, names: Set<string>): void {
  if (stage === undefined || !written) return;
  if (written.stage !== stage)
    lint.warn('StageNameCasing', range, `Stage name '${written.stage}' should be lowercase`, comments);
  const isUpper = word === word.toUpperCase();
  if (written.as !== (isUpper ? written.as.toUpperCase() : written.as.toLowerCase()))
    lint.warn('FromAsCasing', range, `'${written.as}' and '${word}' keywords' casing do not match`, comments);
  if (RESERVED.has(stage))
    lint.warn(
      'ReservedStageName',
      range,
      `Stage name should not use the same name as reserved stage "${stage}"`,
      comments,
    );
  if (names.has(stage))
    lint.warn('DuplicateStageName', range, `Duplicate stage name "${stage}", stage names should be unique`, comments);
  names.add(stage);
}

function warnOfCasing(lint: Lint, stages: Dockerfile['stages']): void {
  const commands = stages.flatMap(({ from, commands }) => [from, ...commands]);
  const lower = commands.filter(({ word }) => word === word.toLowerCase()).length;
  const upper = commands.filter(({ word }) => word === word.toUpperCase()).length;
  const casing = lower > upper ? 'lowercase' : 'uppercase';
  for (const { word, range, comments } of commands)
    if (word !== (lower > upper ? word.toLowerCase() : word.toUpperCase()))
      lint.warn(
        'ConsistentInstructionCasing',
        range,
        `Command '${word}' should match the case of the command majority (${casing})`,
        comments,
      );
}

function warnOfComments(lint: Lint, { name, range, comments }: FromCommand | ArgCommand, keys: string[]): void {
  if (keys.length === 0) return;
  const isDescription = (comment: string) => keys.some((key) => comment.startsWith(`${key} `));
  const odd = comments.filter((comment) => comment !== '' && !/^check\s*=/.test(comment));
  if (odd.every(isDescription)) return;
  const key = keys.length > 1 ? '<arg_key>' : keys[0]!;
  lint.warn(
    'InvalidDefinitionDescription',
    range,
    `Comment for ${name === 'ARG' ? 'build argument' : 'build stage'} should follow the format: \`# ${key} <description>\``,
    comments,
  );
}

/** Warns of the variables and the platform of a FROM line. */
export function warnOfFrom(
  lint: Lint,
  from: FromCommand,
  base: Expansion,
  platform: Expansion | undefined,
  declared: ReadonlySet<string>,
): void {
  const { range, comments } = from;
  for (const name of [...base.unset, ...(platform?.unset ?? [])]) {
    if (declared.has(name)) continue;
    const message = () => `FROM argument '${name}' is not declared${meantName(name, declared)}`;
    lint.warn('UndefinedArgInFrom', range, message, comments);
  }
  if (!platform) return;
  const { used, unset, text } = platform;
  const isTarget = /^\$(?:TARGETPLATFORM|\{TARGETPLATFORM\})$/.test(from.platform!);
  if (isTarget)
    lint.warn(
      'RedundantTargetPlatform',
      range,
      `Setting platform to predefined ${from.platform} in FROM is redundant as this is the default behavior`,
      comments,
    );
  if (used.size > 0 || unset.size > 0 || namesPlatform(from.stage ?? '', text)) return;
  lint.warn(
    'FromPlatformFlagConstDisallowed',
    range,
    `FROM --platform flag should not use constant value "${text}"`,
    comments,
  );
}

/** @returns whether a stage is named after its platform; true for a platform that is none, which is refused later */
function namesPlatform(stage: string, text: string): boolean {
  try {
    const { os, architecture } = parsePlatform(text);
    return stage.includes(os) || stage.includes(architecture);
  } catch {
    return true;
  }
}

/** Warns of a base that is none where no build argument is given. */
export function warnOfDefaults(lint: Lint, { range, comments, base }: FromCommand, expanded: string): void {
  try {
    if (expanded !== '') {
      parseReference(expanded);
      return;
    }
  } catch (error) {
    if (!(error instanceof HuskError)) throw error;
  }
  lint.warn(
    'InvalidDefaultArgInFrom',
    range,
    `Default value for ARG ${base} results in empty or invalid base image name`,
    comments,
  );
}
