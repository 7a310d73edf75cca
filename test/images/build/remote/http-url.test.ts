/** Files of http(s): the names that they get, and what an answer's headers say. */
import test from 'ava';
import {
  fileNameOf,
  parseEtag,
  parseHttpUrl,
  parseLastModified,
} from '../../../../src/images/build/remote/http-url.ts';

const NAMES: [url: string, name: string][] = [
  ['http://h/a/b.tar.gz', 'b.tar.gz'],
  ['http://h/a/b?c=d/e#f/g', 'b'],
  ['http://h/a%20b', 'a b'],
  ['http://h/x/%2e%2e%2fy', 'y'],
  ['http://h/a/', 'a'],
  ['http://h/', '__unnamed__'],
  ['http://h', '__unnamed__'],
  ['http://h/%zz', '%zz'],
  ['http://h/a/..', '__unnamed__'],
];
for (const [url, name] of NAMES) test(`${url} is the file ${name}`, (t) => t.is(fileNameOf(parseHttpUrl(url)), name));

for (const url of [
  'http://h/a%2f..',
  'http://h/x%00',
  'http://h/.wh.a',
  'http://h/%2ewh..wh..opq',
  `http://h/${'a'.repeat(256)}`,
])
  test(`${url.slice(0, 30)} names no file`, (t) => {
    t.throws(() => fileNameOf(parseHttpUrl(url)), { message: /no file can have the name/ });
  });

for (const [url, why] of [
  ['file:///etc/passwd', /neither http nor https/],
  ['ftp://h/a', /neither http nor https/],
  ['http://', /cannot be parsed/],
  ['http://h/a b', /a space/],
  ['http://h/a\nHost: x', /control character/],
  [`http://h/${'a'.repeat(9000)}`, /longer than/],
] as const)
  test(`is refused: ${JSON.stringify(url.slice(0, 40))}`, (t) => {
    t.throws(() => parseHttpUrl(url), { message: why });
  });

for (const [header, time] of [
  ['Wed, 21 Oct 2015 07:28:00 GMT', 1_445_412_480],
  ['Thu, 01 Jan 1970 00:00:00 GMT', 0],
  ['Wed, 21 Oct 1915 07:28:00 GMT', undefined],
  ['2015-10-21', undefined],
  ['Wed, 41 Oct 2015 07:28:00 GMT', undefined],
  ['Wed, 21 Xxx 2015 07:28:00 GMT', undefined],
  ['', undefined],
  [undefined, undefined],
] as const)
  test(`Last-Modified: ${header} is ${time}`, (t) => t.is(parseLastModified(header), time));

for (const [header, isKept] of [
  ['"a"', true],
  ['W/"a"', true],
  ['""', true],
  ['a', false],
  ['"a" , "b"', false],
  ['"a\r\nx: y"', false],
  [`"${'a'.repeat(2000)}"`, false],
] as const)
  test(`ETag: ${header.slice(0, 20)} is ${isKept ? '' : 'not '}kept`, (t) =>
    t.is(parseEtag(header), isKept ? header : undefined));
