/** Commands in a container: made by `POST /containers/X/exec`, started, resized and asked about by `/exec/X/…`. */
import type { Engine, ExecOptions, ExecRecord } from '../../../engine/contract.ts';
import { HuskError } from '../../../errors.ts';
import { parseDetachKeys } from '../../../notation/detach-keys.ts';
import type { Answer, Handler } from '../../http/contract.ts';
import { STDOUT } from '../../http/multiplex.ts';
import { BodyFields } from '../../http/body-fields.ts';
import { AttachClient } from './streams/attach-client.ts';
import { SharedAttachment } from './streams/shared-attachment.ts';
import { streamType } from './streams/stream-type.ts';
import { readSize } from './terminal-size.ts';

export const execCreate: Handler = async ({ parameters, body }, engine) => {
  const name = parameters['name']!;
  engine.get(name);
  const id = await engine.execCreate(name, readExec(await body.json()));
  return { kind: 'json', status: 201, value: { Id: id } };
};

/** @throws HuskError `invalid` */
export function readExec(body: unknown): ExecOptions {
  const fields = new BodyFields(body ?? {});
  const command = fields.words('Cmd') ?? [];
  if (command.length === 0) throw new HuskError('No exec command specified', { kind: 'invalid' });
  const keys = fields.optional('DetachKeys');
  if (keys !== undefined) parseDetachKeys(keys);
  return {
    command,
    interactive: fields.flag('AttachStdin'),
    tty: fields.flag('Tty'),
    detach: fields.flag('Detach'),
    env: fields.texts('Env'),
    user: fields.optional('User'),
    workdir: fields.optional('WorkingDir'),
    privileged: fields.flag('Privileged'),
    consoleSize: readConsole(fields),
    attach: { stdout: fields.flag('AttachStdout'), stderr: fields.flag('AttachStderr') },
    detachKeys: keys,
  };
}

/** Height and width. */
function readConsole(fields: BodyFields): ExecOptions['consoleSize'] {
  const [rows = 0, columns = 0] = fields.integers('ConsoleSize');
  return rows > 0 && columns > 0 ? { rows, columns } : undefined;
}

export const execStart: Handler = async ({ parameters, body, version }, engine): Promise<Answer> => {
  const id = parameters['id']!;
  const record = engine.execInspect(id);
  const { options } = record;
  const fields = new BodyFields((await body.json()) ?? {});
  const asked = { tty: fields.flag('Tty'), consoleSize: readConsole(fields) };
  if (fields.flag('Detach')) {
    await engine.execStart(id, { ...asked, detach: true });
    return { kind: 'empty', status: 200 };
  }
  return {
    kind: 'hijack',
    type: streamType(options.tty, version),
    take: async (begin) => {
      // What is refused has a status. Else the head goes before the command runs, as in Docker's engine: docker-py
      // reads the head into a buffer that it passes over afterwards, and loses the output that comes with it.
      const early = mayStart(engine, record) ? undefined : await startOrTell(engine, id, { ...asked, isBegun: false });
      const hijacked = begin();
      const attachment = early ?? (await startOrTell(engine, id, { ...asked, isBegun: true }));
      const client = new AttachClient(hijacked, {
        wanted: { stdin: options.interactive, stdout: true, stderr: true },
        tty: options.tty,
        keys: parseDetachKeys(options.detachKeys ?? ''),
      });
      // What could not be started says so on its stdout, as with Docker; its exit code is asked for afterwards.
      if (typeof attachment === 'string') return client.write(STDOUT, Buffer.from(`${attachment}\r\n`));
      // An exec's stdin is one client's, and ends with it.
      await new SharedAttachment(attachment, [client], { stdinOnce: true }).run();
    },
  };
};

/** Where it may not, the start is refused, at once. */
const mayStart = (engine: Engine, { container, running, exitCode }: ExecRecord): boolean =>
  !running && exitCode === null && engine.get(container).state.status === 'running';

async function startOrTell(
  engine: Engine,
  id: string,
  { isBegun, ...asked }: { tty: boolean; consoleSize?: ExecOptions['consoleSize']; isBegun: boolean },
) {
  try {
    return (await engine.execStart(id, { ...asked, detach: false }))!;
  } catch (error) {
    // Behind the head there is no status any more.
    if (error instanceof HuskError && (isBegun || error.kind === 'start-failed')) return error.message;
    throw error;
  }
}

export const execResize: Handler = async (call, engine) => {
  await engine.execResize(call.parameters['id']!, readSize(call));
  return { kind: 'empty', status: 200 };
};

export const execInspect: Handler = ({ parameters }, engine) => ({
  kind: 'json',
  status: 200,
  value: shown(engine.execInspect(parameters['id']!)),
});

function shown({ id, container, options, running, exitCode, pid }: ExecRecord): object {
  const [entrypoint, ...words] = options.command;
  return {
    ID: id,
    Running: running,
    ExitCode: exitCode,
    ProcessConfig: {
      tty: options.tty,
      entrypoint,
      arguments: words,
      privileged: options.privileged,
      ...(options.user !== undefined && { user: options.user }),
    },
    OpenStdin: options.interactive,
    OpenStderr: options.attach?.stderr ?? true,
    OpenStdout: options.attach?.stdout ?? true,
    CanRemove: false,
    ContainerID: container,
    DetachKeys: options.detachKeys ?? '',
    Pid: pid,
  };
}
