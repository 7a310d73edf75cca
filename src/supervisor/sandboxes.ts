/** Opens the sandbox of a container's isolation: the one place in the supervisor that knows there are several. */
import { HuskError } from '../errors.ts';
import type { Paths } from '../paths.ts';
import type { Sandbox } from '../sandbox.ts';
import type { Task } from './protocol.ts';

export type OpenSandbox = (task: Task, paths: Paths) => Promise<Sandbox>;

export const openSandbox: OpenSandbox = async (task) => {
  throw new HuskError(`this build has no ${task.isolation} isolation yet`, { kind: 'unsupported', exitCode: 125 });
};
