/**
 * Where a person is sent to the help of `run`: when the command was wrong, not when the container ran and its machine
 * ended under it.
 */
import test from 'ava';
import { report } from '../../src/cli/report.ts';
import { HuskError } from '../../src/errors.ts';

const HINT = "\nRun 'husk run --help' for more information\n";
for (const [exitCode, runLike, code, hint] of [
  [125, 'husk run', 125, HINT],
  [127, 'husk run', 127, HINT],
  [1, 'husk run', 125, HINT],
  [137, 'husk run', 137, ''],
  [125, undefined, 125, ''],
] as const)
  test(`exit code ${exitCode} of ${runLike ?? 'another command'}: ${hint === '' ? 'no hint' : 'the hint'}`, (t) => {
    let said = '';
    const stderr = { write: (text: string) => void (said += text) } as unknown as NodeJS.WriteStream;
    t.is(
      report(
        new HuskError('what happened', { kind: 'internal', exitCode }),
        { stderr },
        { ...(runLike && { runLike }) },
      ),
      code,
    );
    t.is(said, `Error: what happened\n${hint}`);
  });
