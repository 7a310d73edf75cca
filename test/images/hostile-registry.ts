/**
 * A registry in one process that lies where a test tells it to. Starts from a good small image (one gzip layer over 1
 * MiB, so that it is resumable); a test changes the image before it is served, or answers requests itself.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';

export const digestOf = (bytes: Uint8Array | string) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** a ustar archive of one file with these bytes */
export function tarOf(name: string, content: Buffer): Buffer {
  const header = Buffer.alloc(512);
  header.write(name, 0);
  header.write('0000644\0', 100);
  header.write('0000000\0', 108);
  header.write('0000000\0', 116);
  header.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124);
  header.write('14524770400\0', 136);
  header.write('        ', 148);
  header.write('0', 156);
  header.write('ustar\u{0}00', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return Buffer.concat([header, content, Buffer.alloc((512 - (content.length % 512)) % 512), Buffer.alloc(1024)]);
}

/** random bytes do not compress, so the layer is as long as they are; made once */
const noise = randomBytes(3 << 20);

export interface TestImage {
  tar: Buffer;
  layer: Buffer;
  config: Record<string, unknown>;
  manifest: {
    schemaVersion: number;
    mediaType: string;
    config: { mediaType: string; digest: string; size: number; [key: string]: unknown };
    layers: { mediaType: string; digest: string; size: number; [key: string]: unknown }[];
    [key: string]: unknown;
  };
  manifestBytes: Buffer;
  manifestType: string;
  blobs: Map<string, Buffer>;
}

/** @param change edits config or manifest; digests of what it leaves alone are computed after it */
export function testImage(
  change: {
    tar?: Buffer;
    layer?: Buffer;
    mediaType?: string;
    config?: (config: Record<string, unknown>) => void;
    manifest?: (manifest: TestImage['manifest']) => void;
    bytes?: (bytes: Buffer) => Buffer;
    type?: string;
  } = {},
): TestImage {
  const tar = change.tar ?? tarOf('noise', noise);
  const layer = change.layer ?? gzipSync(tar, { level: 1 });
  const config: Record<string, unknown> = {
    architecture: 'amd64',
    os: 'linux',
    config: { Cmd: ['sh'] },
    rootfs: { type: 'layers', diff_ids: [digestOf(tar)] },
  };
  change.config?.(config);
  const configBytes = Buffer.from(JSON.stringify(config));
  const manifest: TestImage['manifest'] = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      digest: digestOf(configBytes),
      size: configBytes.length,
    },
    layers: [
      {
        mediaType: change.mediaType ?? 'application/vnd.oci.image.layer.v1.tar+gzip',
        digest: digestOf(layer),
        size: layer.length,
      },
    ],
  };
  change.manifest?.(manifest);
  const plain = Buffer.from(JSON.stringify(manifest));
  const manifestBytes = change.bytes?.(plain) ?? plain;
  const blobs = new Map([
    [digestOf(configBytes), configBytes],
    [digestOf(layer), layer],
  ]);
  return { tar, layer, config, manifest, manifestBytes, manifestType: change.type ?? manifest.mediaType, blobs };
}

export type Handler = (request: IncomingMessage, response: ServerResponse, url: URL) => boolean | void;

export interface HostileRegistry extends AsyncDisposable {
  host: string;
  /** `GET /v2/… bytes=5-` of every request, in order */
  requests: string[];
  /** header values seen, by lower-case name */
  seen(header: string): string[];
}

/** @param before answers a request itself (and returns true), or leaves it to the well-behaved part */
export async function hostileRegistry(
  image: TestImage | TestImage[],
  before?: Handler,
  options: { ranges?: boolean; address?: string; tls?: { key: string; cert: string } } = {},
): Promise<HostileRegistry> {
  const images = [image].flat();
  const requests: string[] = [];
  const headers: IncomingMessage['headers'][] = [];
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    const url = new URL(request.url!, `http://${request.headers.host}`);
    requests.push(`${request.method} ${url.pathname}${request.headers.range ? ` ${request.headers.range}` : ''}`);
    headers.push(request.headers);
    response.on('error', () => {});
    if (before?.(request, response, url)) return;
    serve(images, request, response, url, options.ranges ?? true);
  };
  const server = options.tls ? createTlsServer(options.tls, listener) : createServer(listener);
  server.on('clientError', (_error, socket) => socket.destroy());
  const address = options.address ?? '127.0.0.1';
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  return {
    host: `${address}:${(server.address() as AddressInfo).port}`,
    requests,
    seen: (name) => headers.flatMap((each) => each[name] ?? []),
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

function serve(images: TestImage[], request: IncomingMessage, response: ServerResponse, url: URL, ranges = true): void {
  if (url.pathname === '/v2/') return void response.end('{}');
  const manifest = /^\/v2\/[^?]+\/manifests\/(.+)$/.exec(url.pathname)?.[1];
  if (manifest) {
    const found = manifest.startsWith('sha256:')
      ? images.find((each) => digestOf(each.manifestBytes) === manifest)
      : images[0];
    if (!found)
      return void response.writeHead(404).end('{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}');
    return void response.writeHead(200, { 'content-type': found.manifestType }).end(found.manifestBytes);
  }
  const digest = /\/blobs\/(.+)$/.exec(url.pathname)?.[1];
  const blob = images.map((each) => each.blobs.get(digest ?? '')).find((each) => each !== undefined);
  if (!blob) return void response.writeHead(404).end('{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]}');
  const from = ranges ? Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0) : 0;
  if (from === 0) return void response.writeHead(200, { 'content-length': blob.length }).end(blob);
  response
    .writeHead(206, {
      'content-length': blob.length - from,
      'content-range': `bytes ${from}-${blob.length - 1}/${blob.length}`,
    })
    .end(blob.subarray(from));
}
