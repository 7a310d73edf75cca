/** Log options: what they mean, what is refused, and in which words. */
import test from 'ava';
import { logAttributes } from '../../src/logs/attributes.ts';
import { logSettings } from '../../src/logs/options.ts';
import { CONTAINER } from './folder.ts';

for (const [driver, options, expected] of [
  ['json-file', {}, { maxSize: Number.POSITIVE_INFINITY, maxFile: 1, compress: false }],
  ['json-file', { 'max-size': '10m', 'max-file': '3' }, { maxSize: 10_000_000, maxFile: 3, compress: false }],
  ['json-file', { 'max-size': '1.5k' }, { maxSize: 1500, maxFile: 1, compress: false }],
  ['json-file', { 'max-size': '-1' }, { maxSize: Number.POSITIVE_INFINITY, maxFile: 1, compress: false }],
  // without max-size it has no effect
  ['json-file', { 'max-file': '2' }, { maxSize: Number.POSITIVE_INFINITY, maxFile: 2, compress: false }],
  [
    'json-file',
    { 'max-size': '1kb', 'max-file': '2', compress: 'true' },
    { maxSize: 1000, maxFile: 2, compress: true },
  ],
  ['local', {}, { maxSize: 20_971_520, maxFile: 5, compress: true }],
  ['local', { 'max-file': '1', compress: 'false' }, { maxSize: 20_971_520, maxFile: 1, compress: false }],
  ['journald', { mode: 'non-blocking' }, { dropAbove: 1_000_000 }],
  ['journald', { mode: 'non-blocking', 'max-buffer-size': '4m' }, { dropAbove: 4_194_304 }],
  ['none', { whatever: '1' }, { driver: 'none' }],
] as const) {
  test(`${driver} ${JSON.stringify(options)}`, (t) => t.like(logSettings({ driver, options }), expected));
}

for (const [driver, options, message] of [
  ['splunk', {}, /^logger: no log driver named 'splunk' is registered$/],
  ['syslog', { 'max-size': '1m' }, /^unknown log opt 'max-size' for syslog log driver$/],
  ['syslog', { 'syslog-facility': 'x' }, /^invalid syslog facility$/],
  ['fluentd', { 'syslog-format': 'rfc5424' }, /^unknown log opt 'syslog-format' for fluentd log driver$/],
  ['fluentd', { 'fluentd-async': 'x' }, /^invalid value for fluentd-async: "x"$/],
  ['json-file', { nonsense: '1' }, /^unknown log opt 'nonsense' for json-file log driver$/],
  ['local', { nonsense: '1' }, /^unknown log opt 'nonsense' for log driver local$/],
  ['journald', { 'max-size': '1m' }, /^unknown log opt 'max-size' for journald log driver$/],
  ['json-file', { 'max-size': 'big' }, /^invalid max-size "big"$/],
  ['json-file', { 'max-size': '0' }, /^max-size must be a positive number$/],
  ['json-file', { 'max-file': '0' }, /^max-file cannot be less than 1$/],
  ['json-file', { 'max-file': 'x' }, /^invalid value for max-file: x$/],
  ['json-file', { compress: 'maybe' }, /^invalid value for compress: "maybe"/],
  ['json-file', { compress: 'true' }, /^compress cannot be true when max-file is less than 2 or max-size is not set$/],
  ['local', { 'max-file': '1' }, /^compression cannot be enabled when max file count is 1$/],
  ['json-file', { mode: 'fast' }, /^logger: logging mode not supported: fast$/],
  [
    'json-file',
    { 'max-buffer-size': '1m' },
    /^logger: max-buffer-size option is only supported with 'mode=non-blocking'$/,
  ],
  ['json-file', { 'labels-regex': '(' }, /^invalid labels-regex "\("/],
] as const) {
  test(`refused: ${driver} ${JSON.stringify(options)}`, (t) => {
    t.throws(() => logSettings({ driver, options }), { message });
  });
}

for (const [options, extra, tag] of [
  [{}, {}, undefined],
  [{ labels: 'a,b,absent' }, { a: '1', b: 'two words' }, undefined],
  [{ 'labels-regex': '^[ac]$' }, { a: '1', c: '3' }, undefined],
  [{ env: 'A,NOTHING' }, { A: 'x=y' }, undefined],
  [{ 'env-regex': '.' }, { A: 'x=y', B: '2' }, undefined],
  [
    { tag: '{{.ImageName}}/{{.Name}}/{{ .ID }}/{{.ImageID}}/{{.DaemonName}}' },
    {},
    'alpine:3/calm_husk/c0ffee000000/abababababab/husk',
  ],
  [{ tag: 'plain' }, {}, 'plain'],
] as const) {
  test(`attributes: ${JSON.stringify(options)}`, (t) =>
    t.deepEqual(logAttributes({ driver: 'json-file', options }, CONTAINER), { extra, tag }));
}

test('a tag of fields that are not there, or of functions, is refused', (t) => {
  for (const tag of ['{{.Nope}}', '{{upper .Name}}', '{{'])
    t.throws(() => logAttributes({ driver: 'json-file', options: { tag } }, CONTAINER), {
      message: `invalid log tag "${tag}"`,
    });
});

test('attributes are in every entry: they have a bound', (t) => {
  const labels = { a: 'x'.repeat(40_000) };
  t.throws(() => logAttributes({ driver: 'json-file', options: { labels: 'a' } }, { ...CONTAINER, labels }), {
    message: /over the bound/,
  });
});
