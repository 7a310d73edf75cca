/** What the command line takes from Docker's client configuration. Its credentials are tested in images/authorization.test.ts. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { detachKeys } from '../../src/cli/docker-client.ts';
import type { Context } from '../../src/cli/command.ts';
import { parseFlags } from '../../src/cli/grammar/flag-set.ts';
import { findCommand } from '../../src/cli/table/table.ts';
import { FakeOutput } from './fake-context.ts';

const CASES: [config: string, words: string[], terminal: boolean, keys: string, stderr: RegExp][] = [
  ['{ "detachKeys": "ctrl-x" }', [], true, 'ctrl-x', /^$/],
  ['{ "detachKeys": "ctrl-x" }', ['--detach-keys', 'ctrl-y'], true, 'ctrl-y', /^$/],
  ['{ "detachKeys": "ctrl-x" }', [], false, '', /^$/],
  ['{ "detachKeys": 7 }', [], true, '', /^$/],
  ['{}', [], true, '', /^$/],
  ['nonsense', [], true, '', /^WARNING: .*config\.json is not a JSON object\n$/],
];
for (const [config, words, isTTY, keys, said] of CASES)
  test(`detach keys of ${config}, ${JSON.stringify(words)}${isTTY ? '' : ', without a terminal'}`, (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'husk-client-'));
    t.teardown(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, 'config.json'), config);
    const stderr = new FakeOutput();
    const { flags } = parseFlags(findCommand(['attach'])!.flags, words, { interspersed: true, env: {} });
    t.is(detachKeys(flags, { env: { DOCKER_CONFIG: folder }, stdin: { isTTY }, stderr } as unknown as Context), keys);
    t.regex(stderr.text, said);
  });
