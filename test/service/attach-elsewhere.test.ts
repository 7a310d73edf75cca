/** A client of `husk serve` is attached to a container that another process starts: it sees all from the first byte. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { busyboxTar, missingImageTools } from '../fixtures/images.ts';
import { HUSK, ordinaryUser } from '../fixtures/user.ts';
import { missingBuild } from '../peer/peers.ts';
import { ask, framesIn, hijack, readAll, serveAs } from './fixture.ts';

const problem = missingImageTools() ?? missingBuild();
const real = problem === undefined ? test : test.skip;

const MIB = 1 << 20;
const CASES: [what: string, flags: string[], command: string, output: string][] = [
  ['one line, and its end at once', [], 'echo hello', 'hello\n'],
  ['1 MiB at once', [], `head -c ${MIB} /dev/zero`, '\0'.repeat(MIB)],
  ['a terminal', ['-t'], 'echo hello; test -t 1 && echo there', 'hello\r\nthere\r\n'],
];

real(`what another process starts, ${problem ?? 'husk start and a second server'}`, async (t) => {
  using user = ordinaryUser();
  const imported = user.run([HUSK, 'import', '-', 'box'], { input: readFileSync(busyboxTar()) });
  t.is(imported.status, 0, imported.stderr);
  await using server = await serveAs(user);
  const socket = join(user.home, 'run/second.sock');
  await using _second = await serveAs(user, '--host', `unix://${socket}`);
  for (const [what, flags, command, output] of CASES)
    for (const starter of ['husk start', 'a second server']) {
      const name = `c${starter.length}${output.length}`;
      const made = user.husk('create', '--name', name, ...flags, 'box', 'sh', '-c', command);
      t.is(made.status, 0, made.stderr);
      const { stream } = await hijack(server, `/v1.44/containers/${name}/attach?stream=1&stdout=1&stderr=1`);
      const seen = readAll(stream);
      if (starter === 'husk start') t.is(user.husk('start', name).status, 0);
      else t.is((await ask({ socket }, 'POST', `/containers/${name}/start`)).status, 204);
      const bytes = await seen;
      const text = flags.length > 0 ? bytes.toString() : (framesIn(bytes)[0]?.[1] ?? '');
      t.true(text === output, `${what}, by ${starter}: ${text.length} bytes of ${output.length}`);
    }
});
