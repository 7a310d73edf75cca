/**
 * The archive that `import URL` names: one GET, redirects followed (never from https to http), no credentials, no
 * resuming. Whoever
 * reads it bounds its bytes.
 */
import { causeOf, HuskError } from '../../errors.ts';
import { VERSION } from '../../version.ts';
import { shown, Transport } from '../registry/transport.ts';

/**
 * @param options.env proxies
 * @throws HuskError `invalid` for a URL of another kind, `unavailable` for an answer that is no file; TransportError
 */
export async function* download(url: URL, options: { env: NodeJS.ProcessEnv }): AsyncGenerator<Uint8Array, void, void> {
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
  const { status, body, headers } = await transport.send({ method: 'GET', url, headers: {} });
  try {
    if (status !== 200)
      throw new HuskError(`cannot import from ${shown(url)}: the server answers with status ${status}`, {
        kind: 'unavailable',
      });
    const announced = headers['content-length'];
    let length = 0;
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      length += chunk.length;
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
