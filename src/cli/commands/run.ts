/** `husk run`: creates and starts a container, and stays attached to it unless detached. */
import { HuskError } from '../../errors.ts';
import type { Engine } from '../../engine/contract.ts';
import { detachKeys } from '../client-config.ts';
import type { Invocation } from '../grammar/command.ts';
import { createOptions } from '../grammar/create-options.ts';
import { parseDetachKeys } from '../../notation/detach-keys.ts';
import { checkTerminal, consoleSize, runSession } from '../session.ts';
import { proxyEnvironment } from '../proxy-environment.ts';
import { createContainer } from '../create-container.ts';
import { startReports } from '../output/warn.ts';
import { report } from '../report.ts';
import { Silent } from '../silent.ts';
import { span } from '../../trace.ts';

export async function run({ flags, arguments: words, context }: Invocation): Promise<number> {
  const size = consoleSize(context);
  const detach = flags.bool('detach');
  const streams = new Set(flags.list('attach').map((stream) => stream.toLowerCase()));
  if (detach && streams.size > 0)
    throw new HuskError('conflicting options: cannot specify both --attach and --detach', {
      kind: 'invalid',
      exitCode: 125,
    });
  // The working folder is read only where a relative path needs it, because it may have been removed.
  const options = createOptions(flags, words, {
    env: context.env,
    added: (asked) => proxyEnvironment(asked, context),
    get workdir() {
      return process.cwd();
    },
    consoleSize: size,
  });
  const keys = detachKeys(flags, context);
  parseDetachKeys(keys);
  const attach = {
    stdin: streams.size > 0 ? streams.has('stdin') : options.interactive,
    stdout: streams.size === 0 || streams.has('stdout'),
    stderr: streams.size === 0 || streams.has('stderr'),
  };
  // Docker opens the streams that are attached: `-a stdin` implies `-i`.
  if (!detach && attach.stdin) options.interactive = true;
  if (!detach) {
    try {
      checkTerminal(context, { stdin: attach.stdin, tty: options.tty });
    } catch (error) {
      // The exit code is 1, not the 125 of run's other failures: Docker's client checks this before it contacts its
      // daemon.
      throw new Silent(report(error, context));
    }
  }
  const cidfile = flags.optional('cidfile');

  const reports = startReports(context);
  const engine = await context.engine();
  const id = await created(() => createContainer(engine, options, { context, quiet: flags.bool('quiet'), cidfile }));
  try {
    if (detach) {
      await engine.start(id, { consoleSize: size, ...reports });
      context.stdout.write(`${id}\n`);
      return 0;
    }
    const attachment = (await engine.start(id, { attach, consoleSize: size, ...reports }))!;
    if (!attach.stdout && !attach.stderr) context.stdout.write(`${id}\n`);
    const code = await runSession(attachment, context, {
      ...attach,
      tty: options.tty,
      detachKeys: keys,
      signals: flags.bool('sig-proxy'),
    });
    if (code === undefined) return 0;
    using _waiting = span('wait for the removal');
    if (options.autoRemove) await engine.wait(id, { condition: 'removed' }).catch(() => {});
    return code;
  } catch (error) {
    if (options.autoRemove) await removeQuietly(engine, id);
    throw error;
  }
}

async function created(create: () => Promise<string>): Promise<string> {
  using _creating = span('create the container');
  return await create();
}

/** Removes a container: `--rm` holds for one that never started, too. */
async function removeQuietly(engine: Engine, id: string): Promise<void> {
  await engine.remove(id, { force: true, volumes: true }).catch(() => {});
}
