/** The config file: which keys it may have. What each does is tested where it does it. */
import test from 'ava';
import { parseConfig } from '../src/config.ts';

const REFUSED: [text: string, message: RegExp][] = [
  ['{ "toString": 1 }', /^the config F has an unknown key "toString"$/],
  ['{ "constructor": "x" }', /^the config F has an unknown key "constructor"$/],
  ['{ "__proto__": {} }', /^the config F has an unknown key "__proto__"$/],
  ['{ "nosuch": 1 }', /^the config F has an unknown key "nosuch"$/],
  ['{ "init": "yes" }', /^the config F: "init" must be true or false, not "yes"$/],
  ['[]', /^the config F is not a JSON object$/],
  ['{', /^the config F is not JSON: /],
];
for (const [text, message] of REFUSED)
  test(`refused: ${text}`, (t) => t.throws(() => parseConfig(text, 'F'), { message }));

test('what is known is taken', (t) =>
  t.deepEqual(parseConfig('{ "init": true, "dns": ["1.1.1.1"] }', 'F'), { init: true, dns: ['1.1.1.1'] }));
