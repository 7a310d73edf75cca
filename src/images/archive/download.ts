/**
 * The archive that `import URL` names: one GET, with redirects followed (never from https to http), without credentials
 * or resuming. Its bytes and their pace are bounded here; what they are when they are unpacked is bounded by the
 * reader.
 */
import { causeOf, HuskError } from '../../errors.ts';
import { VERSION } from '../../version.ts';
import { shown, Transport } from '../registry/transport.ts';

/** How many bytes must come within how many ms, by which clock. */
interface Pace {
  bytes: number;
  ms: number;
  now: () => number;
}
/** the pace of the slowest modem: a server that sends a byte a minute would otherwise never be given up */
const SLOWEST: Pace = { bytes: 1 << 20, ms: 600_000, now: () => performance.now() };

/**
 * @param options.env environment, for its proxies
 * @param options.maxSize bytes that the archive may have as it is sent
 * @param options.pace the slowest pace that is waited for; only what the server takes counts
 * @throws HuskError `invalid` for a URL of another kind, `limit` for too many bytes, `unavailable` for an answer that
 * is no file or comes too slowly; TransportError
 */
export async function* download(
  url: URL,
  options: {
    env: NodeJS.ProcessEnv;
    maxSize: number;
    pace?: Pace;
    onBytes?: (current: number, total?: number) => void;
    signal?: AbortSignal;
  },
): AsyncGenerator<Uint8Array, void, void> {
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    throw new HuskError(`cannot import from ${shown(url)}: only http and https URLs can be fetched`, {
      kind: 'invalid',
    });
  if (url.username !== '' || url.password !== '')
    throw new HuskError(`cannot import from ${shown(url)}: a URL with credentials shows them to every process here`, {
      kind: 'invalid',
      fix: 'curl -u USER URL | husk import -',
    });
  using transport = new Transport({ userAgent: `husk/${VERSION}`, env: options.env });
  const { status, body, headers } = await transport.send({ method: 'GET', url, headers: {}, signal: options.signal });
  try {
    if (status !== 200)
      throw new HuskError(`cannot import from ${shown(url)}: the server answers with status ${status}`, {
        kind: 'unavailable',
      });
    const announced = headers['content-length'];
    if (Number(announced ?? 0) > options.maxSize) throw tooLarge(url, options.maxSize);
    let length = 0;
    for await (const chunk of paced(body as AsyncIterable<Uint8Array>, url, options.pace ?? SLOWEST)) {
      length += chunk.length;
      if (length > options.maxSize) throw tooLarge(url, options.maxSize);
      options.onBytes?.(length, announced === undefined ? undefined : Number(announced));
      yield chunk;
    }
    if (announced !== undefined && length !== Number(announced))
      throw new HuskError(`cannot import from ${shown(url)}: ${length} of ${announced} bytes came`, {
        kind: 'unavailable',
      });
  } catch (error) {
    throw error instanceof HuskError
      ? error
      : new HuskError(`cannot import from ${shown(url)}: ${causeOf(error)}`, { kind: 'unavailable', cause: error });
  } finally {
    body.destroy();
  }
}

const tooLarge = (url: URL, limit: number): HuskError =>
  new HuskError(`cannot import from ${shown(url)}: it is larger than ${limit} bytes`, { kind: 'limit' });

/** Passes chunks on for as long as they keep the pace; the transport ends a body that stops altogether. */
async function* paced(
  source: AsyncIterable<Uint8Array>,
  url: URL,
  { bytes, ms, now }: Pace,
): AsyncGenerator<Uint8Array, void, void> {
  let waited = 0;
  let came = 0;
  let asked = now();
  for await (const chunk of source) {
    waited += now() - asked;
    came += chunk.length;
    if (waited > ms && came < bytes)
      throw new HuskError(
        `cannot import from ${shown(url)}: only ${came} bytes came within ${Math.round(waited / 1000)} s`,
        { kind: 'unavailable' },
      );
    if (waited > ms) waited = came = 0;
    yield chunk;
    asked = now();
  }
}
