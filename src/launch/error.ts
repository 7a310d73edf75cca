/**
 * Describes a plan that failed before its exec: which step, on what, and why, in Docker's words where scripts match
 * them. This file turns bytes into an error and does nothing else; guest/init/control.c writes the records.
 */
import { constants } from 'node:os';
import { EXIT_HUSK_FAILED, EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, HuskError } from '../errors.ts';
import { errnoText } from '../host/libc.ts';
import type { LaunchPlan, Step } from './plan.ts';
import { opName } from './encoding.ts';

const { EACCES, EINVAL, ELOOP, ENOENT, ENOEXEC, ENOTDIR, EXDEV } = constants.errno;

/** enum detail of guest/init/run.h */
const NO_SUCH_USER = 1;
const NO_SUCH_GROUP = 2;
const ID_OUT_OF_RANGE = 3;
const NOT_IN_PATH = 4;
const NO_INTERPRETER = 5;
const BAD_PLAN = 6;
const NOT_EXPECTED_FILE = 7;

/** verbs for steps whose name is no verb that a user knows */
const VERBS: Partial<Record<Step['op'], string>> = {
  holdTree: 'mount',
  placeTree: 'mount',
  sockets: 'make sockets',
  tap: 'make a tap',
  mapUsers: 'map ids',
};

/** struct record of guest/init/control.c: five 32-bit fields, then strings */
export const RECORD_BYTES = 20;

export interface ErrorRecord {
  step: number;
  opcode: number;
  errno: number;
  detail: number;
  call: string;
  path: string;
}

export class LaunchError extends HuskError {
  override name = 'LaunchError';
  /** index in the plan */
  readonly step: number;
  /** the step's op, or `plan` when husk-init refused the plan as a whole */
  readonly op: string;
  /** name of the system call that failed */
  readonly call: string;
  readonly path: string | undefined;
  /** positive errno(3) */
  readonly errno: number;

  constructor(message: string, record: ErrorRecord, exitCode: number) {
    super(message, { kind: 'start-failed', exitCode });
    this.step = record.step;
    this.op = record.detail === BAD_PLAN ? 'plan' : (opName(record.opcode) ?? 'plan');
    this.call = record.call;
    this.path = record.path || undefined;
    this.errno = record.errno;
  }
}

/** @param data a RECORD_ERROR message; a short one gives empty fields */
export function readErrorRecord(data: Buffer): ErrorRecord {
  const [call = '', path = ''] = data.toString('utf8', RECORD_BYTES).split('\0');
  return {
    step: data.readUInt32LE(4),
    opcode: data.readUInt32LE(8),
    errno: data.readInt32LE(12),
    detail: data.readUInt32LE(16),
    call,
    path,
  };
}

/**
 * @returns the error with the exit code of `docker run`: 127 for a command that does not exist, 126 for one that cannot
 * be executed, 125 for everything else
 */
function execError(record: ErrorRecord, name: string): LaunchError {
  const { errno, detail, path } = record;
  const missing = errno === ENOENT || errno === ENOTDIR;
  const exitCode = missing ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
  const quoted = JSON.stringify(name);
  if (detail === NOT_IN_PATH)
    return new LaunchError(`exec: ${quoted}: executable file not found in $PATH`, record, EXIT_NOT_FOUND);
  if (detail === NO_INTERPRETER)
    return new LaunchError(
      `exec ${path}: no such file or directory (the file is there, its interpreter is not)`,
      record,
      EXIT_NOT_FOUND,
    );
  if (missing) return new LaunchError(`exec: ${quoted}: stat ${path}: ${errnoText(errno)}`, record, exitCode);
  if (errno === ENOEXEC) return new LaunchError(`exec ${path}: exec format error`, record, exitCode);
  return new LaunchError(`exec: ${quoted}: ${errnoText(errno)}`, record, exitCode);
}

/** @returns the error in runc's words, with the exit codes that docker/cli takes from them */
function folderError(record: ErrorRecord): LaunchError {
  const exitCode =
    record.errno === ENOENT ? EXIT_NOT_FOUND : record.errno === EACCES ? EXIT_NOT_EXECUTABLE : EXIT_HUSK_FAILED;
  return new LaunchError(
    `chdir to cwd (${JSON.stringify(record.path)}) set in config.json failed: ${errnoText(record.errno)}`,
    record,
    exitCode,
  );
}

function userError(record: ErrorRecord): string | undefined {
  if (record.detail === NO_SUCH_USER) return `unable to find user ${record.path}: no matching entries in passwd file`;
  if (record.detail === NO_SUCH_GROUP) return `unable to find group ${record.path}: no matching entries in group file`;
  if (record.detail === ID_OUT_OF_RANGE) return `uids and gids must be in range 0-2147483647: ${record.path}`;
  return undefined;
}

/** @param kind what the path must not lead out of, for the message */
function subpathError(record: ErrorRecord, source: string, kind: 'volume' | 'image'): LaunchError {
  const leadsOut = record.errno === EXDEV || record.errno === ELOOP;
  const why = leadsOut ? `it leads out of the ${kind}` : errnoText(record.errno);
  return new LaunchError(`cannot mount subpath ${record.path} of ${source}: ${why}`, record, EXIT_HUSK_FAILED);
}

/** @returns the error that the user reads */
export function launchError(plan: LaunchPlan, record: ErrorRecord): LaunchError {
  const step = plan[record.step];
  if (record.detail !== BAD_PLAN && step?.op === 'exec' && record.call === 'execve')
    return execError(record, step.args[0] ?? '');
  if (record.detail !== BAD_PLAN && step?.op === 'chdir' && record.call === 'chdir') return folderError(record);
  const user = userError(record);
  if (user) return new LaunchError(user, record, EXIT_HUSK_FAILED);
  if (record.detail === BAD_PLAN)
    return new LaunchError(
      `the launch plan is refused at step ${record.step} (${step?.op ?? 'none'}): ${record.path}`,
      record,
      EXIT_HUSK_FAILED,
    );
  const shown = step?.op === 'mount' ? step.shown : undefined;
  const beneath = step?.op === 'mount' ? step.data : step?.op === 'holdTree' ? step.beneath : undefined;
  if (
    (step?.op === 'mount' || step?.op === 'holdTree') &&
    beneath &&
    beneath === record.path &&
    record.call === 'openat2'
  )
    return subpathError(record, shown ?? step.source, shown === undefined ? 'volume' : 'image');
  if (
    (step?.op === 'mount' || step?.op === 'holdTree') &&
    record.call === 'open_tree' &&
    record.errno === ENOENT &&
    record.path === step.source
  )
    return new LaunchError(
      `invalid mount config for type "bind": bind source path does not exist: ${step.source}`,
      record,
      EXIT_HUSK_FAILED,
    );
  // The kernel answers only EINVAL when a folder is mounted over a file, or a file over a folder.
  if (step?.op === 'mount' && step.source !== '' && record.call === 'move_mount' && record.errno === EINVAL)
    return new LaunchError(
      `error mounting ${JSON.stringify(shown ?? step.source)} to rootfs at ${JSON.stringify(step.target)}: not a directory: are you trying to mount a directory onto a file (or vice-versa)? check if the specified host path exists and is the expected type`,
      record,
      EXIT_HUSK_FAILED,
    );
  const what = record.path ? ` ${record.path}` : '';
  const why = record.detail === NOT_EXPECTED_FILE ? 'not the kind of file it must be' : errnoText(record.errno);
  const doing = (step && VERBS[step.op]) ?? step?.op ?? 'launch';
  return new LaunchError(`cannot ${doing}${what}: ${record.call}: ${why}`, record, EXIT_HUSK_FAILED);
}
