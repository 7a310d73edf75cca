/**
 * The same templates through a real Go client (docker or podman, whichever is here; neither needs a daemon) and through
 * ours.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { evaluate } from '../../../src/cli/template/evaluate.ts';
import { parseTemplate } from '../../../src/cli/template/parse.ts';

const home = mkdtempSync(join(tmpdir(), 'husk-oracle-'));
test.after.always(() => rmSync(home, { recursive: true, force: true }));

const CLIENTS: [string, (template: string) => string[]][] = [
  ['docker', (template) => ['context', 'inspect', 'default', '--format', template]],
  ['podman', (template) => ['version', '--format', template]],
];
const found = CLIENTS.find(
  ([name]) => spawnSync(name, ['--version'], { env: { PATH: process.env['PATH'], HOME: home } }).status === 0,
);
const client = (template: string): { stdout: string; stderr: string } => {
  const [name, words] = found!;
  const { stdout, stderr } = spawnSync(name, words(template), {
    env: { PATH: process.env['PATH'], HOME: home },
    encoding: 'utf8',
  });
  return { stdout, stderr };
};

/** Only constants: what data a client has is its own business. */
const TEMPLATES = [
  '{{printf "%s|%10s|%-10s|%.2s|%q|%x|%X|% x" "abc" "abc" "abc" "abc" "a\\"b" "abc" "abc" "abc"}}',
  '{{printf "%d|%5d|%-5d|%05d|%+d|% d|%x|%X|%#x|%o|%#o|%b|%c|%U|%q|%O" 42 42 42 42 42 42 255 255 255 8 8 5 97 97 97 8}}',
  '{{printf "%v %v %v %v %v" 1 "a" true 1.5 nil}}',
  '{{printf "%d %s %t %q" "a" 1 1 true}}',
  '{{printf "%d %d" 1}}|{{printf "%d" 1 2 "x"}}|{{printf "%z" 1}}|{{printf "%"}}|{{printf "%!"}}',
  '{{printf "%[2]d %[1]d" 1 2}}|{{printf "%[3]d" 1}}|{{printf "%*d|%-*d|" 5 1 5 1}}',
  '{{printf "%5t|%-7t|%v" true false true}}',
  '{{printf "%e|%f|%g|%.2f|%8.3f|%-8.1f|%+.1f|%E|%G" 1234.5 1234.5 1234.5 1234.5 1234.5 1234.5 1234.5 1234.5 0.000001234}}',
  '{{printf "%v|%v|%v|%v" 0.1 1e21 1.5e-7 123456789.5}}',
  '{{printf "%T %T %T %T" 1 "a" true 1.5}}',
  '{{printf "%#v %#v %+v" "a" 1 "b"}}',
  '{{printf "%6.2s|%06d|%-06d|%x" "abc" -42 42 -255}}',
  '{{printf "%5c|%-5q|%#q" 97 "a" "b"}}',
  '{{printf "%%|%5%"}}',
  '{{print 1 2}}|{{print "a" 1 2 "b"}}|{{print "a" "b"}}|{{print true false}}|{{print nil}}',
  '{{println 1 "a" true}}|',
  '{{html "<a b=\'c\' d=\\"e\\">&amp;"}}',
  '{{js "\'\\"<>&=\\n\\t\\\\x"}}',
  '{{urlquery "a b+c&d=é/?:~_-.!*()"}}',
  '{{len "héllo"}}|{{index "abc" 1}}|{{slice "hello" 1}}|{{slice "hello" 1 2}}',
  '{{eq 1 1}}{{eq "a" "b"}}{{eq 1 2 3 1}}{{ne 1 2}}{{lt 1 2}}{{lt "a" "b"}}{{le 2 1}}{{gt 1.5 1.0}}{{ge "b" "a"}}',
  '{{and 1 0}}|{{and 1 2}}|{{or 0 ""}}|{{or 0 3}}|{{not ""}}|{{and true}}|{{or false "x"}}',
  '{{if and true (not false)}}a{{else}}b{{end}}',
  '{{$x := 3}}{{if true}}{{$x = 4}}{{end}}{{$x}}{{with $y := "q"}}{{$y}}{{end}}',
  '{{with ""}}a{{else with "b"}}{{.}}{{else}}c{{end}}',
  'a  {{- "b" -}}  c {{/* x */ -}} d {{- /* y */}} e',
  '{{define "t"}}[{{.}}]{{end}}{{template "t" 5}}{{template "t" "z"}}',
  '{{block "u" "v"}}({{.}}){{end}}',
  "{{'a'}}|{{'\\n'}}|{{'\\''}}|{{0x1F}}|{{0b11}}|{{0o17}}|{{1_000}}|{{-5}}|{{+5}}|{{1e3}}|{{.5}}|{{100000000000000000}}",
  '{{"\\x41\\u00e9\\101\\t"}}|{{`a\\nb`}}',
  '{{"abc" | printf "%s-%s" "x" | len}}',
  '{{(printf "%d" 7) | printf "<%s>"}}',
  '{{json "a<b>&\\"c\\u2028"}}|{{json 1}}|{{json true}}|{{json nil}}|{{json 1.5}}',
  '{{join (split "a,b,c" ",") "-"}}|{{split "a b" " "}}',
  '{{lower "ABC"}}{{upper "abc"}}{{title "foo bar-baz o\'neil"}}',
];

/** docker's own functions, absent or other in podman */
const DOCKER_ONLY = [
  '[{{pad "a" 2 3}}][{{pad "" 2 3}}]',
  '{{truncate "abcdef" 3}}|{{truncate "ab" 3}}',
  '{{len (split "a,b" ",")}}|{{index (split "a,b" ",") 1}}',
  '{{range $i, $e := split "a,b,c" ","}}{{$i}}{{$e}}{{if $i}}{{break}}{{end}}{{end}}',
  '{{range (split "" "")}}x{{else}}none{{end}}',
];

const ERRORS = [
  '{{.Foo',
  '{{',
  '{{}}',
  '{{if}}{{end}}',
  '{{if true}}',
  '{{end}}',
  '{{else}}',
  '{{nosuch}}',
  '{{$x}}',
  '{{"abc}}',
  "{{'a}}",
  '{{`a}}',
  '{{/* a }}',
  '{{/* a */ b}}',
  '{{(1}}',
  '{{1)}}',
  '{{1a}}',
  '{{1 | 2}}',
  '{{break}}',
  '{{.a@}}',
  '{{range $a, $b, $c := .}}{{end}}',
  '{{1.Foo}}',
  '{{true.X}}',
  '{{template}}',
  '{{define "x"}}',
  '{{define x}}{{end}}',
  '{{"a\\qb"}}',
  "{{'ab'}}",
  '{{if true}}{{else}}{{else}}{{end}}',
  '{{if true}}{{define "x"}}{{end}}{{end}}',
  '{{a b',
  '{{ | }}',
  '{{,}}',
  '{{:}}',
  '{{&}}',
  '{{with $x := }}{{end}}',
  '{{range}}{{end}}',
  '\n\n{{foo}}',
  '{{if true}}{{else range .}}{{end}}',
  '{{nil.X}}',
  '{{ .A ; }}',
];

if (found) {
  const [name] = found;
  test(`${name} prints the same`, (t) => {
    const list = [...TEMPLATES, ...(name === 'docker' ? DOCKER_ONLY : [])];
    // one process for all of them: a separator no template prints
    const theirs = client(list.join('\x1f')).stdout.replace(/\n$/, '').split('\x1f');
    t.is(theirs.length, list.length, client(list.join('\x1f')).stderr);
    for (const [index, template] of list.entries())
      t.is(evaluate(parseTemplate(template), {}), theirs[index]!, template);
  });

  for (const template of ERRORS) {
    test(`${name} refuses alike: ${JSON.stringify(template)}`, (t) => {
      const theirs = /template: [^:]*(:\d+: .*)/.exec(client(template).stderr)?.[1];
      t.truthy(theirs, client(template).stderr);
      t.throws(() => parseTemplate(template), { message: `template: ${theirs}` });
    });
  }
} else {
  test.skip('no docker or podman client here to ask', (t) => t.pass());
}
