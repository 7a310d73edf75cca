/** `husk update`: changes limits and the restart policy. */
import { HuskError } from '../../errors.ts';
import type { Invocation } from '../grammar/command.ts';
import { forEach } from '../each.ts';
import { limitRequest, parseRestart, refuseElsewhere } from '../grammar/create-options.ts';
import { warner } from '../output/warn.ts';

/** Changes the exit code of a refusal: what `run` refuses with 125, Docker's daemon refuses here with 1. */
function refusedByOne<T>(parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof HuskError)) throw error;
    throw error.withExitCode(1);
  }
}

export async function run({ command, flags, arguments: names, context }: Invocation): Promise<number> {
  const given = command.flags.filter(({ name }) => flags.changed(name)).map(({ name }) => name);
  if (given.length === 0)
    throw new HuskError('you must provide one or more flags when using this command', { kind: 'invalid' });
  if (given.includes('kernel-memory'))
    throw new HuskError('--kernel-memory: kernel memory limits are no longer supported by the kernel', {
      kind: 'invalid',
      fix: 'use --memory',
    });
  refusedByOne(() => refuseElsewhere(flags));
  const restart = flags.changed('restart') ? refusedByOne(() => parseRestart(flags.string('restart'))) : undefined;
  const resources = given.some((name) => name !== 'restart') ? limitRequest(flags) : undefined;
  const engine = await context.engine();
  const warnings: string[] = [];
  const code = await forEach(
    names,
    context,
    async (name) => void warnings.push(...(await engine.update(name, { resources, restart }))),
  );
  new Set(warnings).forEach(warner(context));
  return code;
}
