/**
 * What the command line takes from Docker's client configuration. Its credentials are tested in
 * images/authorization.test.ts.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { configuredFormat, detachKeys } from '../../src/cli/client-config.ts';
import type { Context } from '../../src/cli/grammar/command.ts';
import { parseFlags } from '../../src/cli/grammar/flag-set.ts';
import { findCommand } from '../../src/cli/table/table.ts';
import { FakeOutput, husk } from './fake-context.ts';

const folder = mkdtempSync(join(tmpdir(), 'husk-client-'));
test.after.always(() => rmSync(folder, { recursive: true }));
const env = { DOCKER_CONFIG: folder };
const write = (config: string): void => writeFileSync(join(folder, 'config.json'), config);

const KEYS: [config: string, words: string[], terminal: boolean, keys: string][] = [
  ['{ "detachKeys": "ctrl-x" }', [], true, 'ctrl-x'],
  ['{ "detachKeys": "ctrl-x" }', ['--detach-keys', 'ctrl-y'], true, 'ctrl-y'],
  ['{ "detachKeys": "ctrl-x" }', [], false, ''],
  ['{ "detachKeys": null, "proxies": null }', [], true, ''],
  ['{}', [], true, ''],
];
for (const [config, words, isTTY, keys] of KEYS)
  test.serial(`detach keys of ${config}, ${JSON.stringify(words)}${isTTY ? '' : ', without a terminal'}`, (t) => {
    write(config);
    const stderr = new FakeOutput();
    const { flags } = parseFlags(findCommand(['attach'])!.flags, words, { interspersed: true, env: {} });
    t.is(detachKeys(flags, { env, isInteractive: isTTY, stderr } as unknown as Context), keys);
    t.is(stderr.text, '');
  });

const BROKEN: [config: string, what: RegExp][] = [
  ['{', /is not a JSON object/],
  ['[]', /is not a JSON object/],
  ['{ "psFormat": 7 }', /psFormat is no text/],
  ['{ "detachKeys": {} }', /detachKeys is no text/],
  ['{ "currentContext": ["x"] }', /currentContext is no text/],
  ['{ "proxies": 7 }', /proxies is no object/],
  ['{ "proxies": { "default": "x" } }', /proxies of "default" has what is no text/],
];
for (const [config, what] of BROKEN)
  test.serial(`a config of ${config} is told of once, and nothing of it counts`, (t) => {
    write(config);
    const context = { env, stderr: new FakeOutput(), stdin: { isTTY: true } } as unknown as Context & {
      stderr: FakeOutput;
    };
    const { flags } = parseFlags(findCommand(['attach'])!.flags, [], { interspersed: true, env: {} });
    t.is(configuredFormat('psFormat', context), '');
    t.is(detachKeys(flags, context), '');
    t.regex(context.stderr.text, /^WARNING: Error loading config file: [^\n]*config\.json[^\n]*\n$/);
    t.regex(context.stderr.text, what);
  });

for (const command of [['ps'], ['ps', '-q'], ['images'], ['volume', 'ls']])
  test.serial(`'${command.join(' ')}' works with a config that is broken, and says so once`, async (t) => {
    write('{');
    const engine = {
      list: () => [],
      images: { list: () => [] },
      volumes: async () => ({ list: () => [] }),
      isNews: () => true,
    } as never;
    const { code, stderr } = await husk(command, { engine, env: { ...env } });
    t.is(code, 0, stderr);
    t.regex(stderr, /^WARNING: Error loading config file: [^\n]* is not a JSON object\n$/);
  });
