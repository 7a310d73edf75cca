/** Plain TCP on loopback: what browsers send is refused, what Docker's clients send is not. */
import type { IncomingMessage } from 'node:http';
import test from 'ava';
import { refuseBrowsers } from '../../../src/service/http/browsers.ts';

const refused = (headers: Record<string, string>) => refuseBrowsers({ headers } as unknown as IncomingMessage);

for (const host of ['127.0.0.1:2375', '127.0.0.1', '[::1]:2375', 'localhost', 'LOCALHOST:80', '192.168.1.5:2375'])
  test(`served: ${host}`, (t) => t.is(refused({ host }), undefined));

const REFUSED: [what: string, headers: Record<string, string>, why: RegExp][] = [
  ['a page of another site', { host: '127.0.0.1:2375', origin: 'http://evil.example' }, /\(origin\)$/],
  ['a page of no site', { host: '127.0.0.1:2375', origin: 'null' }, /\(origin\)$/],
  ['an empty origin', { host: '127.0.0.1:2375', origin: '' }, /\(origin\)$/],
  ['an image of a page', { host: '127.0.0.1:2375', 'sec-fetch-mode': 'no-cors' }, /\(sec-fetch-mode\)$/],
  ['a link', { host: 'localhost', 'sec-fetch-site': 'cross-site' }, /\(sec-fetch-site\)$/],
  ['a rebound name', { host: 'evil.example:2375' }, /^the Host header/],
  ['a name that ends in an address', { host: '127.0.0.1.evil.example' }, /^the Host header/],
  ['a name that begins as localhost', { host: 'localhost.evil.example' }, /^the Host header/],
  ['an address with more', { host: '127.0.0.1:2375@evil' }, /^the Host header/],
  ['no host', {}, /^the Host header/],
  ['an empty host', { host: '' }, /^the Host header/],
];
for (const [what, headers, why] of REFUSED) test(`refused: ${what}`, (t) => t.regex(refused(headers) ?? '', why));
