/** The lint's rules: names, texts and addresses are BuildKit's, for people look them up by these. */

const of = (description: string) => ({ description });

/** Rules by name. */
export const RULES = {
  StageNameCasing: of('Stage names should be lowercase'),
  FromAsCasing: of("The 'as' keyword should match the case of the 'from' keyword"),
  NoEmptyContinuation: of('Empty continuation lines will become errors in a future release'),
  ConsistentInstructionCasing: of(
    'All commands within the Dockerfile should use the same casing (either upper or lower)',
  ),
  DuplicateStageName: of('Stage names should be unique'),
  ReservedStageName: of('Reserved words should not be used as stage names'),
  JSONArgsRecommended: of(
    'JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals',
  ),
  MaintainerDeprecated: of('The MAINTAINER instruction is deprecated, use a label instead to define an image author'),
  UndefinedArgInFrom: of('FROM command must use declared ARGs'),
  WorkdirRelativePath: of(
    'Relative workdir without an absolute workdir declared within the build can have unexpected results if the base ' +
      'image changes',
  ),
  UndefinedVar: of('Variables should be defined before their use'),
  MultipleInstructionsDisallowed: of('Multiple instructions of the same type should not be used in the same stage'),
  LegacyKeyValueFormat: of('Legacy key/value format with whitespace separator should not be used'),
  InvalidBaseImagePlatform: of('Base image platform does not match expected target platform'),
  RedundantTargetPlatform: of(
    'Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior',
  ),
  SecretsUsedInArgOrEnv: of('Sensitive data should not be used in the ARG or ENV commands'),
  InvalidDefaultArgInFrom: of('Default value for global ARG results in an empty or invalid base image name'),
  FromPlatformFlagConstDisallowed: of('FROM --platform flag should not use a constant value'),
  CopyIgnoredFile: of('Attempting to Copy file that is excluded by .dockerignore'),
  InvalidDefinitionDescription: of(
    'Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is not ' +
      'intended to be a description comment, add an empty line or comment between the instruction and the comment.',
  ),
  ExposeProtoCasing: of('Protocol in EXPOSE instruction should be lowercase'),
  ExposeInvalidFormat: of(
    'IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future ' +
      'release',
  ),
} as const;

export type Rule = keyof typeof RULES;

/** rules that warn only where `# check=experimental=` asks for them */
export const EXPERIMENTAL: ReadonlySet<Rule> = new Set(['InvalidDefinitionDescription']);

/** @returns where a rule is explained: `JSONArgsRecommended` → `…/json-args-recommended/` */
export function ruleUrl(rule: Rule): string {
  const words = rule.replace(/([a-z])([A-Z])|([A-Z])([A-Z][a-z])/g, '$1$3-$2$4').toLowerCase();
  return `https://docs.docker.com/go/dockerfile/rule/${words}/`;
}
