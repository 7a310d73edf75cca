import test from 'ava';
import { evaluate } from '../../../src/cli/template/evaluate.ts';
import { parseTemplate } from '../../../src/cli/template/parse.ts';

/** A plain object is a struct, a Map a Go map: see src/cli/template/values.ts. */
const DATA = {
  Name: 'web',
  Empty: '',
  Count: 3,
  Ratio: 0.25,
  On: true,
  Off: false,
  None: null,
  List: ['a', 'b', 'c'],
  Numbers: [1, 2, 3],
  Nothing: [],
  Labels: new Map<string, unknown>([
    ['b', '2'],
    ['a', '1'],
    ['com.example.x', 'dotted'],
  ]),
  State: { Status: 'running', Pid: 42, Health: null },
  Mounts: [
    { Source: '/a', Destination: '/b' },
    { Source: '/c', Destination: '/d' },
  ],
  Label: (name: string) => `<${name}>`,
};

const render = (source: string, data: unknown = DATA): string => evaluate(parseTemplate(source), data);

/** What Go prints; those marked in oracle.test.ts are asked of real clients as well. */
const CASES: [source: string, output: string][] = [
  ['plain', 'plain'],
  ['', ''],
  ['{{.Name}}', 'web'],
  ['{{ .Name }}', 'web'],
  ['a {{.Name}} b', 'a web b'],
  ['{{.State.Status}} {{.State.Pid}}', 'running 42'],
  ['{{$.Name}}', 'web'],
  ['{{.List}} {{.Numbers}} {{.Nothing}}', '[a b c] [1 2 3] []'],
  ['{{.Labels}}', 'map[a:1 b:2 com.example.x:dotted]'],
  ['{{.Labels.a}}', '1'],
  ['{{.Labels.zz}}', '<no value>'],
  ['{{.Labels.zz.deeper}}', '<no value>'],
  ['{{index .Labels "com.example.x"}}', 'dotted'],
  ['{{index .Labels "zz"}}', '<no value>'],
  ['{{.None}}', '<no value>'],
  ['{{printf "%v" .None}}', '<nil>'],
  ['{{.On}} {{.Off}} {{true}} {{false}}', 'true false true false'],
  ['{{.Ratio}} {{1.5}} {{1e3}} {{0x10}} {{-7}}', '0.25 1.5 1000 16 -7'],
  ["{{'a'}} {{'\\n'}}", '97 10'],
  ['{{"a\\tb\\"c\\u00e9\\x41"}}', 'a\tb"céA'],
  ['{{`raw\\n`}}', 'raw\\n'],
  // trimming and comments
  ['a {{- .Name -}} b', 'awebb'],
  ['a\n{{- " " -}}\n b', 'a b'],
  ['a{{/* no */}}b', 'ab'],
  ['a {{- /* no */ -}} b', 'ab'],
  ['{{-3}}', '-3'],
  // control
  ['{{if .On}}y{{end}}', 'y'],
  ['{{if .Off}}y{{else}}n{{end}}', 'n'],
  ['{{if .Off}}a{{else if .On}}b{{else}}c{{end}}', 'b'],
  ['{{if .Off}}a{{else if .Off}}b{{else if .Off}}c{{else}}d{{end}}', 'd'],
  [
    '{{if .Empty}}y{{else}}n{{end}}{{if .Nothing}}y{{else}}n{{end}}{{if 0}}y{{else}}n{{end}}{{if .None}}y{{else}}n{{end}}',
    'nnnn',
  ],
  ['{{with .State}}{{.Pid}}{{end}}', '42'],
  ['{{with .Empty}}y{{else}}{{.Name}}{{end}}', 'web'],
  ['{{with .Empty}}y{{else with .State}}{{.Pid}}{{end}}', '42'],
  ['{{with $x := .State}}{{$x.Pid}}{{$.Name}}{{end}}', '42web'],
  ['{{range .List}}[{{.}}]{{end}}', '[a][b][c]'],
  ['{{range $e := .List}}{{$e}}{{end}}', 'abc'],
  ['{{range $i, $e := .List}}{{$i}}{{$e}}{{end}}', '0a1b2c'],
  ['{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}', 'a=1;b=2;com.example.x=dotted;'],
  ['{{range .Nothing}}x{{else}}none{{end}}', 'none'],
  ['{{range .None}}x{{else}}none{{end}}', 'none'],
  ['{{range 3}}{{.}}{{end}}', '012'],
  ['{{range .Numbers}}{{if eq . 2}}{{continue}}{{end}}{{.}}{{end}}', '13'],
  ['{{range .Numbers}}{{if eq . 2}}{{break}}{{end}}{{.}}{{end}}', '1'],
  ['{{range .Mounts}}{{.Source}}:{{.Destination}} {{end}}', '/a:/b /c:/d '],
  ['{{range .Numbers}}{{range $.List}}{{.}}{{break}}{{end}}{{end}}', 'aaa'],
  // variables
  ['{{$x := 1}}{{$x}}{{$x = 2}}{{$x}}', '12'],
  ['{{$x := 1}}{{if true}}{{$x = 5}}{{end}}{{$x}}', '5'],
  ['{{$x := 1}}{{if true}}{{$x := 5}}{{$x}}{{end}}{{$x}}', '51'],
  ['{{$s := .State}}{{$s.Status}}', 'running'],
  // pipelines and parentheses
  ['{{.Name | upper}}', 'WEB'],
  ['{{.Name | printf "%s-%s" "x"}}', 'x-web'],
  ['{{(index .List 1) | upper | printf "%q"}}', '"B"'],
  ['{{(.State).Pid}}', '42'],
  ['{{(index .Mounts 0).Source}}', '/a'],
  ['{{len (printf "%s%s" .Name "1")}}', '4'],
  // templates
  ['{{define "x"}}<{{.}}>{{end}}{{template "x" .Name}}{{template "x" 3}}', '<web><3>'],
  ['{{template "x"}}{{define "x"}}no data: {{.}}{{end}}', 'no data: <no value>'],
  ['{{block "x" .State}}{{.Pid}}{{end}}', '42'],
  ['{{define "x"}}{{$}}{{end}}{{template "x" .Count}}', '3'],
  // comparison
  [
    '{{eq .Name "web"}} {{eq 1 2 3 1}} {{ne 1 2}} {{lt 1 2}} {{le 2 2}} {{gt "b" "a"}} {{ge 1 2}}',
    'true true true true true true false',
  ],
  ['{{and 1 0 2}} {{and 1 2}} {{or 0 "" "x"}} {{or 0 ""}} {{not 0}}', '0 2 x  true'],
  ['{{and .Off (index .Nothing 5)}}', 'false'],
  // functions
  ['{{len .List}} {{len .Labels}} {{len "é"}}', '3 3 2'],
  ['{{index .List 2}} {{index .Mounts 1 "Source"}}', 'c /c'],
  ['{{slice "hello" 1 3}} {{slice .List 1}} {{slice .Numbers 0 1}}', 'el [b c] [1]'],
  ['{{print 1 2 "a" "b" 3 4}}', '1 2a b3 4'.replace('a b', 'ab')],
  ['{{println "a" 1}}', 'a 1\n'],
  ['{{html "<a href=\'x\'>&\\""}}', '&lt;a href=&#39;x&#39;&gt;&amp;&#34;'],
  ['{{js "it\'s <b>"}}', "it\\'s \\u003Cb\\u003E"],
  ['{{urlquery "a b&c/d"}}', 'a+b%26c%2Fd'],
  [
    '{{json .Labels}} {{json .List}} {{json "<&>"}} {{json .None}}',
    '{"a":"1","b":"2","com.example.x":"dotted"} ["a","b","c"] "<&>" null',
  ],
  ['{{json .State}}', '{"Status":"running","Pid":42,"Health":null}'],
  ['{{join .List ","}} {{split "a,b,c" ","}} {{join (split "a,b" ",") "/"}}', 'a,b,c [a b c] a/b'],
  ['{{title "hello wOrld"}} {{lower "ABC"}} {{upper "abc"}}', 'Hello WOrld abc ABC'],
  ['[{{pad "x" 1 2}}] [{{pad "" 1 2}}]', '[ x  ] []'],
  ['{{truncate "abcdef" 3}} {{truncate "ab" 3}}', 'abc ab'],
  ['{{.Label "x"}} {{"y" | .Label}}', '<x> <y>'],
];

for (const [source, output] of CASES) test(`renders ${JSON.stringify(source)}`, (t) => t.is(render(source), output));

/** As Go's parser words them. */
const PARSE_ERRORS: [source: string, message: string][] = [
  ['{{.Foo', 'template: :1: unclosed action'],
  ['\n\n{{.Foo', 'template: :3: unclosed action'],
  ['{{', 'template: :1: unclosed action'],
  ['{{}}', 'template: :1: missing value for command'],
  ['{{if}}{{end}}', 'template: :1: missing value for if'],
  ['{{if .A}}', 'template: :1: unexpected EOF'],
  ['{{end}}', 'template: :1: unexpected {{end}}'],
  ['{{else}}', 'template: :1: unexpected {{else}}'],
  ['{{foo}}', 'template: :1: function "foo" not defined'],
  ['{{$x}}', 'template: :1: undefined variable "$x"'],
  ['{{"abc}}', 'template: :1: unterminated quoted string'],
  ["{{'a}}", 'template: :1: unterminated character constant'],
  ['{{`a}}', 'template: :1: unterminated raw quoted string'],
  ['{{/* a }}', 'template: :1: unclosed comment'],
  ['{{/* a */ b}}', 'template: :1: comment ends before closing delimiter'],
  ['{{(1}}', 'template: :1: unclosed left paren'],
  ['{{1)}}', 'template: :1: unexpected right paren'],
  ['{{1a}}', 'template: :1: bad number syntax: "1a"'],
  ['{{.A | 1}}', 'template: :1: non executable command in pipeline stage 2'],
  ['{{break}}', 'template: :1: {{break}} outside {{range}}'],
  ['{{.a@}}', "template: :1: bad character U+0040 '@'"],
  ['{{range $a, $b, $c := .}}{{end}}', 'template: :1: too many declarations in range'],
  ['{{1.Foo}}', 'template: :1: bad number syntax: "1.F"'],
];

for (const [source, message] of PARSE_ERRORS)
  test(`refuses ${JSON.stringify(source)}`, (t) =>
    t.throws(() => parseTemplate(source), { name: 'TemplateError', message }));

const RUN_ERRORS: [source: string, message: string][] = [
  ['{{$x = 1}}', 'template: :1:7: executing "" at <1>: undefined variable: $x'],
  ['{{.Foo}}', 'template: :1:2: executing "" at <.Foo>: can\'t evaluate field Foo in type struct'],
  ['ab\nc{{.State.Foo}}', 'template: :2:9: executing "" at <.State.Foo>: can\'t evaluate field Foo in type struct'],
  ['{{.Name.Foo}}', 'template: :1:7: executing "" at <.Name.Foo>: can\'t evaluate field Foo in type string'],
  [
    '{{.State.Health.Status}}',
    'template: :1:8: executing "" at <.State.Health.Status>: nil pointer evaluating interface {}.Status',
  ],
  ['{{index .List 9}}', 'template: :1:2: executing "" at <index .List 9>: error calling index: index out of range: 9'],
  ['{{len 3}}', 'template: :1:2: executing "" at <len 3>: error calling len: len of type int'],
  ['{{eq 1 "a"}}', 'template: :1:2: executing "" at <eq 1 "a">: error calling eq: incompatible types for comparison'],
  [
    '{{lt true false}}',
    'template: :1:2: executing "" at <lt true false>: error calling lt: invalid type for comparison',
  ],
  ['{{range .Name}}{{end}}', 'template: :1:8: executing "" at <.Name>: range can\'t iterate over web'],
  ['{{template "x"}}', 'template: :1:11: executing "" at <{{template "x"}}>: template "x" not defined'],
  ['{{nil}}', 'template: :1:2: executing "" at <nil>: nil is not a command'],
  ['{{1 2}}', 'template: :1:2: executing "" at <1>: can\'t give argument to non-function 1'],
  ['{{len}}', 'template: :1:2: executing "" at <len>: wrong number of args for len: want 1 got 0'],
  ['{{upper 3}}', 'template: :1:8: executing "" at <3>: expected string; found 3'],
  ['{{3 | upper}}', 'template: :1:6: executing "" at <upper>: wrong type for value; expected string; got int'],
];

for (const [source, message] of RUN_ERRORS)
  test(`fails at ${JSON.stringify(source)}`, (t) => t.throws(() => render(source), { name: 'TemplateError', message }));

test('data that came from JSON cannot reach JavaScript', (t) => {
  for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty']) {
    t.throws(() => render(`{{.${name}}}`), { name: 'TemplateError', message: /can't evaluate field/ });
    t.is(render(`{{index . "${name}"}}`), '<no value>');
    t.is(render(`{{.Labels.${name}}}`), '<no value>');
  }
});

test('recursion, output and nesting are bounded', (t) => {
  t.throws(() => render('{{define "x"}}{{template "x"}}{{end}}{{template "x"}}'), {
    message: /exceeded maximum template depth/,
  });
  t.throws(() => render('{{range 4000000}}{{range 4000000}}{{end}}{{end}}'), { message: /steps|output/ });
  t.throws(() => render(`{{range 1000000}}${'x'.repeat(1000)}{{end}}`), { message: /output is longer/ });
  t.throws(() => render(`{{${'('.repeat(10_000)}1${')'.repeat(10_000)}}}`), {
    message: /max template nesting exceeded/,
  });
  t.throws(() => render(`${'{{if true}}'.repeat(10_000)}`), { message: /max template nesting exceeded/ });
});

test('any text parses or is refused with a TemplateError', (t) => {
  const pieces = [
    '{{',
    '}}',
    '{{-',
    '-}}',
    ' ',
    '.',
    '.A',
    '$',
    '$x',
    ':=',
    '=',
    '|',
    '(',
    ')',
    '"',
    "'",
    '`',
    '1',
    '1.',
    'e',
    'if',
    'range',
    'end',
    'else',
    'define',
    'template',
    'len',
    '/*',
    '*/',
    '\n',
    'é',
    ',',
    '\\',
    'nil',
    'true',
  ];
  let seed = 11;
  const random = (limit: number): number => (seed = (seed * 1_103_515_245 + 12_345) & 0x7fff_ffff) % limit;
  for (let round = 0; round < 20_000; round++) {
    const source = Array.from({ length: random(14) }, () => pieces[random(pieces.length)]).join('');
    try {
      render(source, { A: [1] });
    } catch (error) {
      if ((error as Error).name !== 'TemplateError') t.fail(`${JSON.stringify(source)}: ${(error as Error).stack}`);
    }
  }
  t.pass();
});
