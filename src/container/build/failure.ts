/** Why the command of a build's step could not be started. */
import { HuskError } from '../../errors.ts';
import { LaunchError } from '../../launch/error.ts';
import { explainLaunchError } from '../../launch/failure.ts';

/** What the command itself is to blame for is said without runc's words, of which there is no end in a build. */
export function explainStepError(error: unknown): unknown {
  if (error instanceof LaunchError && (error.op === 'exec' || error.op === 'setuser' || error.op === 'chdir'))
    return new HuskError(error.message, { kind: 'start-failed', exitCode: error.exitCode, cause: error });
  return explainLaunchError(error, 'create');
}
