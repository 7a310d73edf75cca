/** `husk serve`: the Docker Engine API on a socket, until SIGTERM or SIGINT, or until nobody uses it. */
import { readFileSync, writeSync } from 'node:fs';
import { causeOf, HuskError } from '../../errors.ts';
import { paths } from '../../paths.ts';
import type { Context, Invocation } from '../grammar/command.ts';
import type { FlagSet } from '../grammar/flag-set.ts';
import { printable } from '../output/printable.ts';

/** ms without a request after which a server ends that systemd starts again for the next one */
const IDLE_TIMEOUT = 30_000;
const NANOSECONDS_PER_MS = 1_000_000;

export async function run({ flags, context }: Invocation): Promise<number> {
  const [{ serve }, addresses] = await Promise.all([
    import('../../service/serve.ts'),
    import('../../service/listen.ts'),
  ]);
  const { env } = context;
  const inherited = addresses.inheritedAddresses(env);
  const { runtimeDir } = paths({ env });
  const socket = addresses.defaultSocket(runtimeDir);
  const hosts = flags.list('host');
  const named = hosts.map((host) => addresses.parseAddress(host, flags.bool('tls')));
  const isDefault = named.length === 0 && inherited.length === 0;
  if (isDefault) addresses.prepareDefaultFolder(runtimeDir);
  const serving = await serve({
    engine: await context.engine(),
    addresses: isDefault ? [{ kind: 'unix', path: socket }] : [...inherited, ...named],
    tls: tlsOptions(flags),
    idleTimeout: idleTimeout(flags, inherited.length > 0),
    onBug: (error) => log(context, error),
  });
  const unlink = isDefault ? addresses.linkForTools(env, socket) : undefined;
  const forget = await recordTcp(runtimeDir, serving.urls, flags.bool('tls')).catch(async (error: unknown) => {
    await serving.close();
    throw error;
  });
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void serving.close());
  for (const url of serving.urls) context.stdout.write(`husk serves the Docker Engine API at ${url}\n`);
  await serving.ended;
  unlink?.();
  forget?.();
  return 0;
}

/** `husk doctor` tells of ports. @returns what takes that back */
async function recordTcp(runtimeDir: string, urls: readonly string[], tls: boolean) {
  const listeners = urls.filter((url) => url.startsWith('tcp://')).map((url) => ({ url, tls }));
  if (listeners.length === 0) return undefined;
  return (await import('../../engine/look/tcp-listeners.ts')).recordTcpListeners(runtimeDir, listeners);
}

function idleTimeout(flags: FlagSet, isActivated: boolean): number | undefined {
  if (!flags.changed('idle-timeout')) return isActivated ? IDLE_TIMEOUT : undefined;
  // 0 is never, as in other flags of time.
  return (flags.number('idle-timeout') ?? 0) / NANOSECONDS_PER_MS || undefined;
}

/** @returns false for plain TCP, undefined where nothing was said of it @throws HuskError for half a set of files */
function tlsOptions(flags: FlagSet) {
  if (!flags.bool('tls')) return false;
  const files = ['tlscacert', 'tlscert', 'tlskey'] as const;
  const given = files.filter((name) => flags.optional(name) !== undefined);
  if (!flags.bool('tlsverify') && given.length === 0) return undefined;
  if (!flags.bool('tlsverify') || given.length < files.length)
    throw new HuskError('TLS needs --tlsverify, --tlscacert, --tlscert and --tlskey together', { kind: 'invalid' });
  const [ca, cert, key] = files.map((name) => read(flags.string(name)));
  return { ca, cert, key, requestCert: true, rejectUnauthorized: true, minVersion: 'TLSv1.2' as const };
}

function read(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new HuskError(`cannot read ${file}: ${causeOf(error)}`, { kind: 'invalid', cause: error });
  }
}

/** Whoever has started the server may not read its words any more: that must not end it. */
function log({ stderr }: Context, error: unknown): void {
  const text = `husk serve: internal error, please report it: ${error instanceof Error ? error.stack : String(error)}\n`;
  try {
    writeSync(2, printable(text, stderr, { lines: true }));
  } catch {
    // Nobody reads, or not fast enough.
  }
}
