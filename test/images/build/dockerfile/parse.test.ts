/** The parser, against BuildKit's syntax trees, its negative inputs and its line numbers, and cases of our own. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { parseDockerfile, readInstructions } from '../../../../src/images/build/dockerfile/parse.ts';
import type { Syntax } from '../../../../src/images/build/dockerfile/commands.ts';
import { BuildError } from '../../../../src/images/build/operations.ts';

const CORPUS = join(import.meta.dirname, '../corpus/parser');
const bytes = (text: string) => new TextEncoder().encode(text);

/** Go's strconv.Quote, as far as the corpus needs it. */
const quote = (text: string) =>
  JSON.stringify(text)
    .replaceAll('\\u0000', '\\x00')
    .replace(/\\u00([0-9a-f]{2})/g, '\\x$1');

/** A node as the corpus writes it: `(copy ["--from=a"] "x" "/")`. */
function tree(syntax: Syntax): string {
  const flags = syntax.flags.length > 0 ? [`[${syntax.flags.map(quote).join(' ')}]`] : [];
  const trigger = syntax.trigger ? [tree(syntax.trigger)] : [];
  return `(${[syntax.name.toLowerCase(), ...flags, ...syntax.args.map(quote), ...trigger].join(' ')})`;
}

for (const name of readdirSync(join(CORPUS, 'testfiles')))
  test(`syntax tree: ${name}`, (t) => {
    const folder = join(CORPUS, 'testfiles', name);
    const { syntaxes } = readInstructions(readFileSync(join(folder, 'Dockerfile')));
    t.deepEqual(syntaxes.map(tree), readFileSync(join(folder, 'result'), 'utf8').trimEnd().split('\n'));
  });

for (const name of readdirSync(join(CORPUS, 'testfiles-negative')))
  test(`does not parse: ${name}`, (t) => {
    const file = readFileSync(join(CORPUS, 'testfiles-negative', name, 'Dockerfile'));
    t.throws(() => parseDockerfile(file), { instanceOf: BuildError });
  });

test('lines of instructions', (t) => {
  const { syntaxes } = readInstructions(readFileSync(join(CORPUS, 'testfile-line/Dockerfile')));
  t.deepEqual(
    syntaxes.map(({ range }) => [range.start, range.end]),
    [
      [5, 5],
      [11, 12],
      [17, 31],
    ],
  );
});

const refused = test.macro({
  exec(t, text: string, message: string | RegExp, start: number, end = start) {
    const error = t.throws(() => parseDockerfile(bytes(text)), { instanceOf: BuildError, message });
    t.deepEqual(error?.range, { start, end });
  },
  title: (_, text?: unknown) => `refuses ${JSON.stringify(String(text).slice(0, 80))}`,
});
const LINE = 'dockerfile parse error on line';
test(refused, '', 'file with no instructions', 1);
test(refused, '# only\n\n', 'file with no instructions', 2);
test(refused, 'RUN true\n', 'no build stage in current context', 1);
test(refused, 'ARG A\n', 'dockerfile contains no stages to build', 1);
test(refused, 'FROM a\nRUNN x', `${LINE} 2: unknown instruction: RUNN (did you mean RUN?)`, 2);
test(refused, 'FROM a\nconstructor x', `${LINE} 2: unknown instruction: constructor`, 2);
test(refused, 'FROM a\nCOPY --chowm=1 f /f', `${LINE} 2: unknown flag: chowm (did you mean chown?)`, 2);
test(refused, 'FROM a\nCOPY --toString=1 f /f', `${LINE} 2: unknown flag: toString`, 2);
test(refused, 'FROM a\nCOPY --chown=1 --chown=2 f /', `${LINE} 2: duplicate flag specified: chown`, 2);
test(refused, 'FROM a\nCOPY --chown f /', `${LINE} 2: missing a value on flag: chown`, 2);
test(refused, 'FROM a\nCOPY --link=maybe f /', `${LINE} 2: expecting boolean value for flag link, not: maybe`, 2);
test(refused, 'FROM a\nENV --x a=b', `${LINE} 2: unknown flag: x`, 2);
test(refused, 'FROM a\nCOPY f', /COPY requires at least two arguments, but only one was provided/, 2);
test(refused, 'FROM a\nCOPY', `${LINE} 2: COPY requires at least two arguments`, 2);
test(refused, 'FROM a\nRUN', `${LINE} 2: RUN requires at least one argument`, 2);
test(refused, 'FROM a\nENTRYPOINT ["/no/such"]\nRUN\n', `${LINE} 3: RUN requires at least one argument`, 3);
test(refused, 'FROM a\nEXPOSE', `${LINE} 2: EXPOSE requires at least one argument`, 2);
test(refused, 'FROM a\nUSER', `${LINE} 2: USER requires exactly one argument`, 2);
test(refused, 'FROM a AS', `${LINE} 1: FROM requires either one or three arguments`, 1);
test(refused, 'FROM a IS b', `${LINE} 1: FROM requires either one or three arguments`, 1);
test(refused, 'FROM a AS 1b', /invalid name for build stage: "1b", name can't start with a number/, 1);
test(refused, 'FROM a\nSHELL /bin/sh', `${LINE} 2: SHELL requires the arguments to be in JSON form`, 2);
test(refused, 'FROM a\nENV A', 'ENV must have two arguments', 2);
test(refused, 'FROM a\nENV A=1 # x', `Syntax error - can't find = in "#". Must be of the form: name=value`, 2);
test(refused, 'FROM a\nENV =1', `${LINE} 2: ENV names can not be blank`, 2);
test(refused, 'FROM a\nARG =1', `${LINE} 2: ARG names can not be blank`, 2);
test(refused, 'FROM a\nCMD ["x", 1]', 'when using JSON array syntax, arrays must be comprised of strings only', 2);
test(refused, 'FROM a\nRUN echo <<E \\\n E\nx', 'unterminated heredoc', 2, 4);
test(refused, 'FROM a\nCOPY x <<E\nE', `${LINE} 2: COPY cannot accept a heredoc as a destination`, 2, 3);
test(refused, 'FROM a\nONBUILD', `${LINE} 2: ONBUILD requires at least one argument`, 2);
test(refused, 'FROM a\nONBUILD onbuild RUN x', /Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed/, 2);
test(refused, 'FROM a\nONBUILD FROM x', `${LINE} 2: FROM isn't allowed as an ONBUILD trigger`, 2);
test(refused, 'FROM a\nONBUILD COPY x', /2: COPY requires at least two arguments, but only one/, 2);
test(refused, `FROM a\n${'ONBUILD '.repeat(100_000)}RUN x`, /Chaining ONBUILD/, 2);
test(refused, '# escape=\\\n# escape=`\nFROM a', 'only one escape parser directive can be used', 2);
test(refused, '#escape = x\nFROM a', "invalid escape token 'x' does not match ` or \\", 1);
test(refused, '# syntax=evil/front\nFROM a', "cannot use the frontend evil/front: only Docker's own is built in", 1);
test(refused, 'FROM a\nHEALTHCHECK', `${LINE} 2: HEALTHCHECK requires at least one argument`, 2);
test(refused, 'FROM a\nHEALTHCHECK CMD', `${LINE} 2: Missing command after HEALTHCHECK CMD`, 2);
test(refused, 'FROM a\nHEALTHCHECK NONE x', `${LINE} 2: HEALTHCHECK NONE takes no arguments`, 2);
test(refused, 'FROM a\nHEALTHCHECK X', `${LINE} 2: Unknown type "X" in HEALTHCHECK (try CMD)`, 2);
test(refused, 'FROM a\nHEALTHCHECK --interval=1us CMD x', /Interval "interval" cannot be less than 1ms/, 2);
test(refused, 'FROM a\nRUN --network=hosd x', /unsupported network mode "hosd" \(did you mean host\?\)/, 2);
test(refused, 'FROM a\nRUN --security=none x', /unsupported security mode "none"/, 2);
test(
  refused,
  'FROM a\nRUN --mount=from=$S,target=/m x',
  `${LINE} 2: 'from' doesn't support variable expansion, define alias stage instead`,
  2,
);
test(refused, 'FROM a\nVOLUME [""]', `${LINE} 2: VOLUME specified can not be an empty string`, 2);

test('a comment behind the variables of an instruction is told to want its own line', (t) => {
  const fixOf = (line: string) =>
    t.throws(() => parseDockerfile(bytes(`FROM a\n${line}`)), { instanceOf: BuildError }).fix;
  for (const line of ['ENV A=1 # B=2', 'LABEL a=1 #c']) t.is(fixOf(line), 'put the comment on a line of its own', line);
  t.is(fixOf('ENV A=1 B'), undefined);
});

test('a file of more than 16 MiB, and one of too many lines', (t) => {
  t.throws(() => parseDockerfile(new Uint8Array((16 << 20) + 1)), { message: /more than 16777216/ });
  t.throws(() => parseDockerfile(bytes('\n'.repeat(2 << 20))), { message: /more than 1048576 lines/ });
});
test('too many stages and instructions', (t) => {
  t.throws(() => parseDockerfile(bytes('FROM a\n'.repeat(1025))), { message: /more than 1024 stages/ });
  t.throws(() => parseDockerfile(bytes(`FROM a\n${'ENV A=1\n'.repeat(17_000)}`)), { message: /16384 instructions/ });
});

/** The commands of the first stage, without their places. */
function commands(text: string) {
  const { stages } = parseDockerfile(bytes(text));
  return stages[0]!.commands.map(({ name: _name, word: _word, text: _text, range: _r, comments: _c, ...rest }) => rest);
}

test('a BOM, carriage returns, directives in any case', (t) => {
  const file = '\ufeff# SYNTAX=docker.io/docker/dockerfile:1\r\n# Escape = `\r\nFROM a\r\nENV A=1 `\r\n  B=2\r\n';
  const parsed = parseDockerfile(bytes(file));
  t.is(parsed.directives.escape, '`');
  t.deepEqual(commands(file), [
    {
      kind: 'env',
      legacy: false,
      pairs: [
        { name: 'A', value: '1' },
        { name: 'B', value: '2' },
      ],
    },
  ]);
});
test('a comment, a blank line or an unknown directive ends the directives', (t) => {
  for (const first of ['# hello', '', '# unknown=1'])
    t.is(parseDockerfile(bytes(`${first}\n# escape=\`\nFROM a`)).directives.escape, '\\', first);
});
test('# syntax= below the first instruction is a comment', (t) => {
  t.is(parseDockerfile(bytes('FROM a\n#syntax=evil/front\nRUN x')).stages.length, 1);
});
test('an empty line within a continuation is noted, a comment is not', (t) => {
  const file = 'FROM a\nRUN x && \\ \t\n  # note \\\n\n  y\nRUN z \\\n# note\n w';
  t.deepEqual(parseDockerfile(bytes(file)).emptyContinuations, [{ start: 2, end: 5 }]);
  t.deepEqual(
    commands(file).map((command) => 'line' in command && command.line.words),
    [['x &&   y'], ['z  w']],
  );
});
test('a lone escape, and one at the end of the file', (t) => {
  t.deepEqual(commands('\\\nFROM a\n\\\n\\\nRUN x \\').length, 1);
});
test('here-documents keep their bytes and come in order', (t) => {
  const [copy, run] = commands('FROM a\nCOPY <<A <<-"B" /d/\nx\r\nA\n\ty\n\tB\nRUN <<E\r\nz\r\nE\r\n');
  t.deepEqual('sources' in copy! && copy.sources, [
    { name: 'A', chomp: false, expand: true, content: 'x\r\n' },
    { name: 'B', chomp: true, expand: false, content: '\ty\n' },
  ]);
  t.deepEqual('hereDocuments' in run! && run.hereDocuments, [
    { name: 'E', chomp: false, expand: true, content: 'z\r\n' },
  ]);
});
test('what looks like a here-document and is none', (t) => {
  for (const line of ['RUN cat <<<x', 'RUN echo $((1<<2))', 'RUN ["a", "<<E"]', "RUN echo '<<E'", 'CMD cat <<E'])
    t.is(commands(`FROM a\n${line}\nUSER b`).length, 2, line);
});
test('ONBUILD keeps the here-documents of its trigger', (t) => {
  const [command] = commands('FROM a\nONBUILD RUN <<EOF\necho hi > /hi\nEOF\n');
  t.deepEqual(command, { kind: 'onbuild', value: 'RUN <<EOF\necho hi > /hi\nEOF', trigger: 'RUN' });
});
test('JSON counts only if the whole rest is an array', (t) => {
  const lines = ['[ "a" , "b" ]  ', '[ "x" ] y', "['a']", '["a"', '[ -d /etc ]'];
  t.deepEqual(
    commands(`FROM a\n${lines.map((line) => `RUN ${line}\n`).join('')}`).map(
      (command) => 'line' in command && command.line,
    ),
    [
      { words: ['a', 'b'], shell: false },
      { words: ['[ "x" ] y'], shell: true },
      { words: ["['a']"], shell: true },
      { words: ['["a"'], shell: true },
      { words: ['[ -d /etc ]'], shell: true },
    ],
  );
});
test('words behind -- are no flags', (t) => {
  const [command] = commands('FROM a\nCOPY -- --f /x');
  t.deepEqual('sources' in command! && command.sources, ['--f']);
});
test('flags may be quoted', (t) => {
  const [command] = commands('FROM a\nCOPY --chown="a b" --exclude=x --exclude=\\"y f /');
  t.like(command, { chown: 'a b', exclude: ['x', '"y'] });
});
test('bytes that are no UTF-8 may stand in comments, and nowhere else', (t) => {
  const file = (line: string) => Buffer.from(`FROM a\n# caf\xe9\n${line}\n`, 'latin1');
  t.is(parseDockerfile(file('RUN \\\n# caf\xe9\n x')).stages.length, 1);
  for (const line of ['ENV A=caf\xe9', 'COPY <<E /\ncaf\xe9\nE'])
    t.throws(() => parseDockerfile(file(line)), { instanceOf: BuildError, message: /bytes that are no UTF-8/ });
  t.is(parseDockerfile(bytes('FROM a\nENV A=\ufffd')).stages.length, 1);
});
test('an error has no megabytes', (t) => {
  const error = t.throws(() => parseDockerfile(bytes(`FROM a\n${'x'.repeat(1 << 20)} y`)), { instanceOf: BuildError });
  t.is(error!.message.length, 1001);
});
