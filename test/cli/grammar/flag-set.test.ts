import test from 'ava';
import type { Flag } from '../../../src/cli/grammar/flag.ts';
import { HelpRequest, parseFlags } from '../../../src/cli/grammar/flag-set.ts';

const FLAGS: Flag[] = [
  { name: 'interactive', short: 'i', type: 'bool', help: '' },
  { name: 'tty', short: 't', type: 'bool', help: '' },
  { name: 'rm', type: 'bool', help: '' },
  { name: 'sig-proxy', type: 'bool', default: true, help: '' },
  { name: 'name', type: 'string', help: '' },
  { name: 'publish', short: 'p', type: 'list', help: '' },
  { name: 'env', short: 'e', type: 'list', help: '' },
  { name: 'network', type: 'network', aliases: ['net'], help: '' },
  { name: 'last', short: 'n', type: 'int', default: -1, help: '' },
  { name: 'memory', short: 'm', type: 'bytes', help: '' },
  { name: 'platform', type: 'string', env: 'THE_PLATFORM', help: '' },
];

const parse = (words: string[], interspersed = false, env: NodeJS.ProcessEnv = { B: 'from host' }) =>
  parseFlags(FLAGS, words, { interspersed, env });

const VALUES: [title: string, words: string[], name: string, value: unknown][] = [
  ['joined shorts', ['-it'], 'tty', true],
  ['a short with its value', ['-p80:80'], 'publish', ['80:80']],
  ['a short with = and its value', ['-p=80:80'], 'publish', ['80:80']],
  ['a short with a lone =', ['-p='], 'publish', ['=']],
  ['shorts and then a value', ['-ite', 'A=1'], 'env', ['A=1']],
  ['shorts joined with a value', ['-itp80'], 'publish', ['80']],
  ['a repeated list', ['-e', 'A=1', '-e', 'C=2'], 'env', ['A=1', 'C=2']],
  ['a name that the host gives', ['-e', 'B'], 'env', ['B=from host']],
  ['a name that nobody gives', ['-e', 'Z'], 'env', ['Z']],
  ['long with =', ['--name=x'], 'name', 'x'],
  ['long with a word', ['--name', 'x'], 'name', 'x'],
  ['an empty value', ['--name='], 'name', ''],
  ['a value that looks like a flag', ['--name', '--rm'], 'name', '--rm'],
  ['a value with =', ['--name=a=b'], 'name', 'a=b'],
  ['the last one wins', ['--name', 'a', '--name', 'b'], 'name', 'b'],
  ['a bool set to false', ['--rm=false'], 'rm', false],
  ['a bool does not take the next word', ['--rm', 'false'], 'rm', true],
  ['a default', [], 'sig-proxy', true],
  ['a default put off', ['--sig-proxy=0'], 'sig-proxy', false],
  ['another spelling', ['--net', 'host'], 'network', [{ name: 'host' }]],
  ['bytes', ['-m', '64m'], 'memory', 67_108_864],
  ['a negative number', ['-n', '-3'], 'last', -3],
  ['a short bool set to false', ['-t=false'], 'tty', false],
];

for (const [title, words, name, value] of VALUES) {
  test(`value: ${title}`, (t) => {
    const { flags } = parse(words);
    t.deepEqual(
      Array.isArray(value)
        ? flags.list(name)
        : typeof value === 'boolean'
          ? flags.bool(name)
          : typeof value === 'number'
            ? flags.number(name)
            : flags.string(name),
      value,
    );
  });
}

const ARGUMENTS: [title: string, words: string[], interspersed: boolean, rest: string[]][] = [
  ['the first argument ends the flags', ['-i', 'image', '-t', '--rm'], false, ['image', '-t', '--rm']],
  ['flags may follow arguments', ['a', '-i', 'b'], true, ['a', 'b']],
  ['-- ends the flags', ['-i', '--', '-t', 'x'], true, ['-t', 'x']],
  ['-- ends the flags once', ['--', 'a', '--', 'b'], false, ['a', '--', 'b']],
  ['a lone dash is an argument', ['-', '-i'], true, ['-']],
  ['an empty word is an argument', ['', '-i'], false, ['', '-i']],
];

for (const [title, words, interspersed, rest] of ARGUMENTS) {
  test(`arguments: ${title}`, (t) => t.deepEqual(parse(words, interspersed).arguments, rest));
}

/** Texts as the docker client 28 gives them for its own flags. */
const ERRORS: [words: string[], message: string][] = [
  [['--foo'], 'unknown flag: --foo'],
  [['--foo=1'], 'unknown flag: --foo'],
  [['-z'], "unknown shorthand flag: 'z' in -z"],
  [['-iz'], "unknown shorthand flag: 'z' in -z"],
  [['-zi'], "unknown shorthand flag: 'z' in -zi"],
  [['--name'], 'flag needs an argument: --name'],
  [['-e'], "flag needs an argument: 'e' in -e"],
  [['-ie'], "flag needs an argument: 'e' in -e"],
  [['--=x'], 'bad flag syntax: --=x'],
  [['---x'], 'bad flag syntax: ---x'],
  [['--rm=maybe'], 'invalid argument "maybe" for "--rm" flag: strconv.ParseBool: parsing "maybe": invalid syntax'],
  [['-n', 'x'], 'invalid argument "x" for "-n, --last" flag: strconv.ParseInt: parsing "x": invalid syntax'],
  [['-m', 'foo'], 'invalid argument "foo" for "-m, --memory" flag: invalid size: \'foo\''],
];

for (const [words, message] of ERRORS) {
  test(`error: ${words.join(' ')}`, (t) => t.throws(() => parse(words), { name: 'FlagError', message }));
}

test('a near miss is suggested', (t) => {
  const error = t.throws(() => parse(['--nmae', 'x']), { name: 'FlagError' }) as Error & { suggestion?: string };
  t.is(error.suggestion, '--name');
});

test('--help and a free -h ask for help', (t) => {
  t.throws(() => parse(['--rm', '--help']), { instanceOf: HelpRequest });
  t.throws(() => parse(['-h']), { instanceOf: HelpRequest });
});

test('help after the arguments is an argument', (t) =>
  t.deepEqual(parse(['image', '--help']).arguments, ['image', '--help']));

test('an environment variable stands in for a flag, and the flag wins', (t) => {
  t.is(parse([], false, { THE_PLATFORM: 'linux/arm64' }).flags.string('platform'), 'linux/arm64');
  t.is(
    parse(['--platform=linux/amd64'], false, { THE_PLATFORM: 'linux/arm64' }).flags.string('platform'),
    'linux/amd64',
  );
  t.false(parse([], false, { THE_PLATFORM: 'linux/arm64' }).flags.changed('platform'));
});

test('any words give values or a FlagError, never anything else', (t) => {
  const pieces = ['-', '--', '=', 'i', 't', 'e', 'name', 'rm', '\0', '"', 'é', '🦀', '9', '--net', '-m', '64m', ''];
  let seed = 7;
  const random = (limit: number): number => (seed = (seed * 1_103_515_245 + 12_345) & 0x7fff_ffff) % limit;
  for (let round = 0; round < 20_000; round++) {
    const words = Array.from({ length: random(5) }, () =>
      Array.from({ length: random(4) }, () => pieces[random(pieces.length)]).join(''),
    );
    try {
      parse(words, random(2) === 0);
    } catch (error) {
      if (!(error instanceof HelpRequest)) t.is((error as Error).name, 'FlagError', JSON.stringify(words));
    }
  }
  t.pass();
});
