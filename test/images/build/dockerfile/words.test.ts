/** The lexer, against BuildKit's tables; what would make it run long or grow is refused. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { HuskError, type ErrorKind } from '../../../../src/errors.ts';
import { expand, splitWords, type LexerOptions } from '../../../../src/images/build/dockerfile/words.ts';

const CORPUS = join(import.meta.dirname, '../corpus/shell');
const linesOf = (file: string) => readFileSync(join(CORPUS, file), 'utf8').split('\n');
const options = (variables: Record<string, string>, more: Partial<LexerOptions> = {}): LexerOptions => ({
  escape: '\\',
  variables: new Map(Object.entries(variables)),
  ...more,
});

const ENVIRONMENT = {
  PWD: '/home',
  SHELL: 'bash',
  KOREAN: '한국어',
  NULL: '',
};
for (const [index, line] of linesOf('envVarTest').entries()) {
  const text = line.replace(/^#.*|(?<=\s)#.*/, '');
  if (text.trim() === '' || text.startsWith('W')) continue;
  const [, input, expected] = text.split('|').map((part) => part.trim()) as [string, string, string];
  test(`envVarTest line ${index + 1}: ${input}`, (t) => {
    const read = () => expand(input, options(ENVIRONMENT)).text;
    if (expected === 'error') t.throws(read, { instanceOf: HuskError });
    else t.is(read(), expected);
  });
}

test('wordsTest', (t) => {
  const variables: Record<string, string> = {};
  for (const line of linesOf('wordsTest')) {
    if (line.startsWith('#') || line.trim() === '') continue;
    if (line.startsWith('ENV ')) {
      const [name, ...value] = line.slice('ENV '.length).trimStart().split('=');
      variables[name!] = value.join('=');
      continue;
    }
    const [input, expected] = line.split('|') as [string, string];
    const read = () => expand(input.trimEnd(), options(variables)).words;
    if (expected.trim() === 'error') t.throws(read, { instanceOf: HuskError }, input);
    else t.deepEqual(read(), expected.trimStart().split(','), input);
  }
});

const expanding = test.macro({
  exec(t, text: string, expected: string) {
    t.is(expand(text, options({ V: 'foobarbaz', E: '', P: '/a/b.tar.gz', S: 'a*b' })).text, expected);
  },
  title: (_, text?: unknown) => `expands ${String(text)}`,
});
test(expanding, '${V#f*b}', 'arbaz');
test(expanding, '${V##f*b}', 'az');
test(expanding, '${V%b*}', 'foobar');
test(expanding, '${V%%b*}', 'foo');
test(expanding, '${V/ba/fo}', 'fooforbaz');
test(expanding, '${V//ba/fo}', 'fooforfoz');
test(expanding, '${V/b?/_}', 'foo_rbaz');
test(expanding, '${V/b*/_}', 'foo_');
test(expanding, '${V//*/_}', '_');
test(expanding, '${V/x/_}', 'foobarbaz');
test(expanding, '${V/ba/}', 'foorbaz');
test(expanding, '${P##*/}', 'b.tar.gz');
test(expanding, '${P%.*}', '/a/b.tar');
test(expanding, '${P%%.*}', '/a/b');
test(expanding, '${P//\\//_}', '_a_b.tar.gz');
test(expanding, '${S%\\*b}', 'a');
test(expanding, '${S#?}', '*b');
test(expanding, '${E#x}${U#x}', '');
test(expanding, '${U:-${V%baz}}', 'foobar');

test('a word that has no other character than what is escaped', (t) => {
  t.is(expand('a`$X c:`\\d', options({}, { escape: '`' })).text, 'a$X c:\\d');
});
test('quotes are kept where the caller wants them, and unset variables too', (t) => {
  const raw = options({ A: '1' }, { rawQuotes: true, keepUnset: true });
  t.is(expand(`"$A" '$A' $B \${B:-x} \${B?no}`, raw).text, `"1" '$A' $B \${B:-x} \${B?no}`);
});
test('quotes are plain in here-documents', (t) => {
  t.is(expand(`it's "$A" \\$A`, options({ A: '1' }, { plainQuotes: true })).text, `it's "1" $A`);
});
test('names that had a value, and names that had none', (t) => {
  const { used, unset } = expand('$A $B ${C:-$A}', options({ A: '1' }));
  t.deepEqual([[...used], [...unset]], [['A'], ['B', 'C']]);
});

const refused = test.macro({
  exec(t, text: string, message: RegExp, kind: ErrorKind) {
    const error = t.throws(() => expand(text, options({ V: 'a'.repeat(100_000), W: 'x' })), { instanceOf: HuskError });
    t.regex(error!.message, message);
    t.is(error!.kind, kind);
  },
  title: (_, text?: unknown) => `refuses ${String(text).slice(0, 60)}`,
});
test(refused, '${U:?must be set}', /^failed to process ".*": U: must be set$/, 'invalid');
test(refused, '${U?}', /U: is not allowed to be unset$/, 'invalid');
test(refused, '${W/x}', /syntax error: missing '\/'$/, 'invalid');
test(refused, '"a', /matching double-quote$/, 'invalid');
test(refused, '${W#a\\b}', /invalid pattern \(a\\b\) in substitution: invalid escape '\\b'/, 'invalid');
test(refused, '${U:-'.repeat(100_000), /^more than 32 braces within each other$/, 'limit');
test(refused, '$V'.repeat(20), /^the variables of this word expand to more than 1048576 characters$/, 'limit');
test(refused, '${V//a/xxxxxxxxxxxx}', /expand to more than/, 'limit');
test(refused, `\${V//${'*a'.repeat(1000)}/x}`, /expand to more than/, 'limit');

test('splits words and leaves their quotes', (t) => {
  t.deepEqual(splitWords(`a=1 "b c"='d e' f\\ g="" '' \\`, '\\'), ['a=1', `"b c"='d e'`, 'f\\ g=""', "''"]);
  t.deepEqual(splitWords('a` b', '`'), ['a` b']);
});
