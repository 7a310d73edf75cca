/** TCP: with TLS only clients with a certificate get in; without TLS no browser does. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request as plainRequest } from 'node:http';
import { request, type RequestOptions } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { Engine } from '../../src/engine/contract.ts';
import { serve } from '../../src/service/serve.ts';
import { selfSigned } from '../fixtures/certificate.ts';

const onBug = (error: unknown): never => {
  throw error;
};
const engine = {} as Engine;
const LOOPBACK = { kind: 'tcp', host: '127.0.0.1', port: 0 } as const;

/** @returns a certificate that the given authority has signed, and its key */
function signed(authority: { key: string; cert: string }): { key: string; cert: string } {
  const folder = mkdtempSync(join(tmpdir(), 'husk-client-'));
  const at = (name: string): string => join(folder, name);
  const openssl = (...words: string[]): Buffer => execFileSync('openssl', words, { stdio: ['pipe', 'pipe', 'ignore'] });
  try {
    execFileSync('tee', [at('ca.key')], { input: authority.key });
    execFileSync('tee', [at('ca.crt')], { input: authority.cert });
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', at('key')];
    openssl('req', ...key, '-out', at('csr'), '-subj', '/CN=client');
    const by = ['-CA', at('ca.crt'), '-CAkey', at('ca.key'), '-CAcreateserial'];
    openssl('x509', '-req', '-in', at('csr'), ...by, '-days', '2', '-out', at('crt'));
    return { key: readFileSync(at('key'), 'utf8'), cert: readFileSync(at('crt'), 'utf8') };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function status(options: RequestOptions, send: typeof request | typeof plainRequest = request): Promise<number> {
  return new Promise((resolve, reject) => {
    const asked = send({ path: '/_ping', agent: false, ...options }, (response) => {
      response.resume();
      resolve(response.statusCode!);
    });
    asked.once('error', reject).end();
  });
}

const portOf = (url: string): number => Number(new URL(url).port);

test('TLS: a client with a certificate of the authority gets in, and no other', async (t) => {
  const authority = selfSigned();
  const tls = { ...authority, ca: authority.cert, requestCert: true, rejectUnauthorized: true };
  const serving = await serve({ engine, addresses: [LOOPBACK], tls, onBug });
  t.teardown(() => serving.close());
  const to = { host: '127.0.0.1', port: portOf(serving.urls[0]!), ca: authority.cert };
  t.is(await status({ ...to, ...signed(authority) }), 200);
  await t.throwsAsync(status(to));
  await t.throwsAsync(status({ ...to, ...signed(selfSigned()) }));
  await t.throwsAsync(status({ ...to, ...selfSigned() }));
  await t.throwsAsync(status(to, plainRequest));
});

test('plain TCP at loopback: clients get in, browsers do not', async (t) => {
  const serving = await serve({ engine, addresses: [LOOPBACK], tls: false, onBug });
  t.teardown(() => serving.close());
  const to = { host: '127.0.0.1', port: portOf(serving.urls[0]!) };
  t.is(await status(to, plainRequest), 200);
  t.is(await status({ ...to, headers: { Origin: 'http://evil.example' } }, plainRequest), 403);
  t.is(await status({ ...to, headers: { 'Sec-Fetch-Site': 'cross-site' } }, plainRequest), 403);
  t.is(await status({ ...to, headers: { Host: 'evil.example' } }, plainRequest), 403);
});

for (const [host, tls, message] of [
  ['127.0.0.1', undefined, /without TLS: whoever reaches the API is you$/],
  ['0.0.0.0', false, /that is no loopback address$/],
  ['::', false, /that is no loopback address$/],
] as const)
  test(`refused: ${host}, TLS ${tls}`, (t) =>
    t.throwsAsync(serve({ engine, addresses: [{ ...LOOPBACK, host }], tls, onBug }), { name: 'HuskError', message }));
