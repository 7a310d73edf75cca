/** `husk completion bash|zsh|fish` */
import { HuskError } from '../../errors.ts';
import type { Invocation } from '../grammar/command.ts';
import { COMPLETION_SCRIPTS } from '../completion/scripts.ts';

export async function run({ arguments: [shell = ''], context }: Invocation): Promise<number> {
  const script = Object.hasOwn(COMPLETION_SCRIPTS, shell)
    ? COMPLETION_SCRIPTS[shell as keyof typeof COMPLETION_SCRIPTS]
    : undefined;
  if (script === undefined)
    throw new HuskError(`no completion for the shell ${JSON.stringify(shell)}`, {
      kind: 'invalid',
      fix: `use one of ${Object.keys(COMPLETION_SCRIPTS).join(', ')}`,
    });
  context.stdout.write(script);
  return 0;
}
