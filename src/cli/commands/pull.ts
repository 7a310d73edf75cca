/** `husk pull` */
import { HuskError } from '../../errors.ts';
import { parseReference, splitTag } from '../../images/store/reference.ts';
import type { Invocation } from '../grammar/command.ts';
import { platformOf } from '../image-platform.ts';
import { printable } from '../output/printable.ts';
import { ProgressDisplay } from '../output/progress.ts';

export async function run({ flags, arguments: [reference = ''], context }: Invocation): Promise<number> {
  const allTags = flags.bool('all-tags');
  const named = reference.includes('@') || splitTag(reference)[1] !== '<none>';
  if (allTags && named) throw new HuskError("tag can't be used with --all-tags/-a", { kind: 'invalid' });
  const quiet = flags.bool('quiet');
  // Wrong arguments are reported before the output says that anything is done.
  parseReference(reference);
  const platform = await platformOf(flags);
  if (!allTags && !named && !quiet) context.stdout.write('Using default tag: latest\n');
  const { images } = await context.engine();
  const display = quiet ? undefined : new ProgressDisplay(context.stdout);
  using abort = abortOnSignal();
  try {
    const { image } = await images.pull(reference, {
      allTags,
      platform,
      onProgress: (progress) => display?.show(progress),
      signal: abort.signal,
    });
    display?.end();
    const typed = allTags || named ? reference : `${reference}:latest`;
    context.stdout.write(`${printable(fullName(typed, image.repoTags[0] ?? image.id), context.stdout)}\n`);
    return 0;
  } catch (error) {
    display?.end();
    throw error;
  }
}

/** @returns the reference of Docker's last line, with its host */
function fullName(shown: string, fallback: string): string {
  const first = shown.split('/')[0]!;
  if (shown.includes('/') && (/[.:]/.test(first) || first === 'localhost')) return shown;
  if (shown === '') return fallback;
  return shown.includes('/') ? `docker.io/${shown}` : `docker.io/library/${shown}`;
}

/** Ctrl-C aborts the download cleanly; bytes that have arrived stay for the next pull. */
function abortOnSignal(): { signal: AbortSignal } & Disposable {
  const controller = new AbortController();
  const stop = (): void =>
    controller.abort(
      new HuskError('the pull was interrupted; the next one goes on from here', { kind: 'unavailable', exitCode: 130 }),
    );
  process.once('SIGINT', stop);
  return { signal: controller.signal, [Symbol.dispose]: () => void process.off('SIGINT', stop) };
}
