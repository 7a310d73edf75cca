/** The lint: each of BuildKit's 22 rules, what does not call for it, and what skips it. */
import test from 'ava';
import { parseDockerfile } from '../../../../src/images/build/dockerfile/parse.ts';
import { RULES, ruleUrl } from '../../../../src/images/build/lint/rules.ts';
import { BuildError, type PlanOptions } from '../../../../src/images/build/operations.ts';
import { lintDockerfile, planBuild } from '../../../../src/images/build/plan/plan.ts';
import { BOX, planOptions } from '../plan/options.ts';

const parse = (text: string) => parseDockerfile(new TextEncoder().encode(text));
const known = { configOf: () => BOX };
const seen = new Set<string>();

/** A file, and its warnings as `line rule: message`. */
const warns = test.macro({
  exec(t, text: string, expected: string[], more: Partial<PlanOptions> = {}) {
    const warnings = lintDockerfile(parse(text), { ...planOptions(more), ...known });
    t.deepEqual(
      warnings.map(({ range, rule, message }) => `${range.start} ${rule}: ${message}`),
      expected,
    );
    for (const { rule, description, url } of warnings) {
      seen.add(rule);
      t.true(description.length > 0 && url.startsWith('https://docs.docker.com/go/dockerfile/rule/'));
    }
  },
  title: (_, text?: unknown) => `lint: ${JSON.stringify(text)}`,
});
test(warns, 'FROM a AS Build', ["1 StageNameCasing: Stage name 'Build' should be lowercase"]);
test(warns, 'FROM a as b', ["1 FromAsCasing: 'as' and 'FROM' keywords' casing do not match"]);
test(warns, 'from a as b', []);
test(warns, 'from a AS b', ["1 FromAsCasing: 'AS' and 'from' keywords' casing do not match"]);
test(warns, 'FROM a\nRUN x \\\n\n y', ['2 NoEmptyContinuation: Empty continuation line']);
test(warns, 'FROM a\nRUN x\nUser u\nenv A=b', [
  "3 ConsistentInstructionCasing: Command 'User' should match the case of the command majority (uppercase)",
  "4 ConsistentInstructionCasing: Command 'env' should match the case of the command majority (uppercase)",
]);
test(warns, 'from a\nrun x\nUSER u', [
  "3 ConsistentInstructionCasing: Command 'USER' should match the case of the command majority (lowercase)",
]);
test(warns, 'FROM a AS b\nFROM a AS b', [
  '2 DuplicateStageName: Duplicate stage name "b", stage names should be unique',
]);
test(warns, 'FROM a AS context', [
  '1 ReservedStageName: Stage name should not use the same name as reserved stage "context"',
]);
test(warns, 'FROM a\nCMD x\nENTRYPOINT ["y"]', [
  '2 JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals',
]);
test(warns, 'FROM a\nSHELL ["/bin/sh","-c"]\nCMD x', []);
test(warns, 'FROM a\nMAINTAINER me', [
  '2 MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label',
]);
test(warns, 'ARG VERSION=1\nFROM a$VERSIO', [
  "2 UndefinedArgInFrom: FROM argument 'VERSIO' is not declared (did you mean VERSION?)",
]);
test(warns, 'ARG V\nFROM a$V', []);
test(warns, 'FROM a\nWORKDIR b\nWORKDIR c', [
  '2 WorkdirRelativePath: Relative workdir "b" can have unexpected results if the base image changes',
]);
test(warns, 'FROM a AS b\nWORKDIR /b\nFROM b\nWORKDIR c', []);
test(warns, 'FROM a\nARG FILE=x\nCOPY $FIEL /', [
  "3 UndefinedVar: Usage of undefined variable '$FIEL' (did you mean $FILE?)",
]);
test(warns, 'FROM a\nARG X\nCOPY a$X /\nRUN $Y\nENV P=$PATH', []);
test(warns, 'FROM a\nCMD ["a"]\nCMD ["b"]\nHEALTHCHECK NONE\nHEALTHCHECK NONE', [
  '2 MultipleInstructionsDisallowed: Multiple CMD instructions should not be used in the same stage because only the ' +
    'last one will be used',
  '4 MultipleInstructionsDisallowed: Multiple HEALTHCHECK instructions should not be used in the same stage because ' +
    'only the last one will be used',
]);
test(warns, 'FROM a\nENV A b\nLABEL c d', [
  '2 LegacyKeyValueFormat: "ENV key=value" should be used instead of legacy "ENV key value" format',
  '3 LegacyKeyValueFormat: "LABEL key=value" should be used instead of legacy "LABEL key value" format',
]);
test(warns, 'FROM --platform=linux/arm64 a AS arm64', [
  '1 InvalidBaseImagePlatform: Base image a was pulled with platform "linux/amd64", expected "linux/arm64" for ' +
    'current build',
]);
test(warns, 'FROM --platform=${TARGETPLATFORM} a', [
  '1 RedundantTargetPlatform: Setting platform to predefined ${TARGETPLATFORM} in FROM is redundant as this is the ' +
    'default behavior',
]);
test(warns, 'FROM --platform=$BUILDPLATFORM a', []);
test(warns, 'FROM --platform=linux/amd64 a', [
  '1 FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value "linux/amd64"',
]);
test(warns, 'FROM a\nARG API_KEY PUBLIC_KEY KEYS\nENV db_password=x TOKEN_FILE=y', [
  '2 SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ARG "API_KEY")',
  '3 SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ENV "db_password")',
]);
test(
  warns,
  'ARG TAG\nFROM a:$TAG',
  ['2 InvalidDefaultArgInFrom: Default value for ARG a:$TAG results in empty or invalid base image name'],
  { buildArgs: new Map([['TAG', '1']]) },
);
test(
  warns,
  'FROM a\nCOPY x y/../z /\nADD w/ /\nCOPY --from=b x /\nCOPY . /',
  [
    '2 CopyIgnoredFile: Attempting to Copy file "x" that is excluded by .dockerignore',
    '2 CopyIgnoredFile: Attempting to Copy file "z" that is excluded by .dockerignore',
    '3 CopyIgnoredFile: Attempting to Add file "w" that is excluded by .dockerignore',
  ],
  { ignored: (path) => ['x', 'z', 'w'].includes(path) },
);
const experimental = '# check=experimental=InvalidDefinitionDescription\n';
test(warns, `${experimental}# about it\nARG A=a\nFROM $A\n# B says what\nARG B\n\n# far\n\nARG C`, [
  '3 InvalidDefinitionDescription: Comment for build argument should follow the format: `# A <description>`',
]);
test(warns, `${experimental}# about it\nFROM a AS b`, [
  '3 InvalidDefinitionDescription: Comment for build stage should follow the format: `# b <description>`',
]);
test(warns, '# about it\nFROM a AS b', []);
test(warns, 'FROM a\nEXPOSE 80/TCP 81/udp', [
  "2 ExposeProtoCasing: Defined protocol '80/TCP' in EXPOSE instruction should be lowercase",
]);
test(warns, 'FROM a\nEXPOSE 127.0.0.1:80:8080 81', [
  '2 ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found ' +
    "'127.0.0.1:80:8080'",
]);

test.after.always('every rule was seen', (t) => {
  t.deepEqual(
    Object.keys(RULES).filter((rule) => !seen.has(rule)),
    [],
  );
  t.is(Object.keys(RULES).length, 22);
});

// What skips

test(warns, '# check=skip=JSONArgsRecommended, MaintainerDeprecated\nFROM a\nCMD x\nMAINTAINER m\nENV A b', [
  '5 LegacyKeyValueFormat: "ENV key=value" should be used instead of legacy "ENV key value" format',
]);
test(warns, '# check=skip=all\nFROM a\nCMD x\nMAINTAINER m', []);
test(warns, 'FROM a\n# check=skip=LegacyKeyValueFormat\nENV A b\nENV C d', [
  '4 LegacyKeyValueFormat: "ENV key=value" should be used instead of legacy "ENV key value" format',
]);
test(warns, 'FROM a\n# check=skip=LegacyKeyValueFormat\n\nENV A b', [
  '4 LegacyKeyValueFormat: "ENV key=value" should be used instead of legacy "ENV key value" format',
]);
test('a build argument stands over the directive', (t) => {
  const buildArgs = new Map([['BUILDKIT_DOCKERFILE_CHECK', 'skip=all']]);
  t.deepEqual(lintDockerfile(parse('# check=error=true\nFROM a\nCMD x'), planOptions({ buildArgs })), []);
});
test('warnings are errors where the file asks for it', async (t) => {
  const file = parse('# check=error=true\nFROM a\nCMD x\nMAINTAINER m');
  const error = await t.throwsAsync(planBuild(file, planOptions()), {
    instanceOf: BuildError,
    message: 'lint violation found for rules: JSONArgsRecommended, MaintainerDeprecated',
  });
  t.deepEqual(error!.range, { start: 3, end: 3 });
  t.is(lintDockerfile(file, planOptions()).length, 2);
});
for (const check of ['what', 'skip', 'error=maybe', 'skip=A;x=1'])
  test(`refuses # check=${check}`, (t) => {
    const error = t.throws(() => lintDockerfile(parse(`# check=${check}\nFROM a`), planOptions()), {
      instanceOf: BuildError,
      message: /check option/,
    });
    t.deepEqual(error!.range, { start: 1, end: 1 });
  });

test('without the base its variables are not taken for undefined', (t) => {
  t.deepEqual(lintDockerfile(parse('FROM a AS b\nENV P=$GOPATH\nFROM b\nENV Q=$GOPATH'), planOptions()), []);
  t.is(lintDockerfile(parse('FROM scratch\nENV P=$GOPATH'), planOptions()).length, 1);
});
test('stages that the target does not reach are checked too, unless there is a target', (t) => {
  const file = parse('FROM a AS b\nENV A b\nFROM a AS c');
  t.is(lintDockerfile(file, planOptions()).length, 1);
  t.is(lintDockerfile(file, planOptions({ target: 'c' })).length, 0);
});
test('thousands of faults are a thousand warnings', (t) => {
  t.is(lintDockerfile(parse(`FROM a\n${'ENV A b\n'.repeat(3000)}`), planOptions()).length, 1000);
});
test('addresses of rules', (t) => {
  t.is(ruleUrl('JSONArgsRecommended'), 'https://docs.docker.com/go/dockerfile/rule/json-args-recommended/');
  t.is(ruleUrl('CopyIgnoredFile'), 'https://docs.docker.com/go/dockerfile/rule/copy-ignored-file/');
});
