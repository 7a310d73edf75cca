/**
 * Private keys of `--ssh ID=FILE`: read out of the bytes of a file, and used for the signatures of SSH. Ed25519, RSA
 * and ECDSA keys, as OpenSSH and OpenSSL write them; a key with a passphrase is refused. Pure: opens no file.
 *
 * Source: OpenSSH's PROTOCOL.key; RFC 4253 § 6.6, RFC 5656 § 3.1, RFC 8332 § 3, RFC 8709 § 4 and § 6
 */
import { createPrivateKey, createPublicKey, sign, type JsonWebKey, type KeyObject } from 'node:crypto';
import { basename } from 'node:path';
import { HuskError } from '../../../errors.ts';

/** A key that signs. */
export interface SshKey {
  /** the public key, as SSH names it */
  blob: Buffer;
  comment: string;
  /** @returns the signature with its algorithm; undefined for one that is not made any more (SHA-1) */
  sign(data: Uint8Array, flags: number): Buffer | undefined;
}

/** flags of a request for a signature, draft-miller-ssh-agent § 4.5.1 */
const RSA_SHA2_256 = 2;
const RSA_SHA2_512 = 4;

const MAGIC = 'openssh-key-v1\0';
const ARMOUR = /-----BEGIN OPENSSH PRIVATE KEY-----([A-Za-z0-9+/=\s]*)-----END OPENSSH PRIVATE KEY-----/;
/** bits, OpenSSH's own bounds of RSA keys */
const RSA_BITS = [1024, 16_384] as const;
const CURVES: Record<string, { curve: string; hash: string; jwk: string; bytes: number }> = {
  'P-256': { curve: 'nistp256', hash: 'sha256', jwk: 'P-256', bytes: 32 },
  'P-384': { curve: 'nistp384', hash: 'sha384', jwk: 'P-384', bytes: 48 },
  'P-521': { curve: 'nistp521', hash: 'sha512', jwk: 'P-521', bytes: 66 },
};

/**
 * @param file name for messages; a step sees the last part of it
 * @throws HuskError `invalid` for what is no private key, `unsupported` for a passphrase and other kinds of keys
 */
export function readSshKey(bytes: Buffer, file: string): SshKey {
  const armoured = ARMOUR.exec(bytes.toString('latin1'))?.[1];
  let key: KeyObject;
  try {
    key =
      armoured === undefined
        ? createPrivateKey(bytes)
        : createPrivateKey({ key: openSshKey(Buffer.from(armoured, 'base64'), file), format: 'jwk' });
  } catch (error) {
    if (error instanceof HuskError) throw error;
    // OpenSSL's messages may quote what it read, which is secret: only their kind is looked at.
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ERR_MISSING_PASSPHRASE' || code === 'ERR_OSSL_CRYPTO_INTERRUPTED_OR_CANCELLED') throw locked(file);
    throw new HuskError(`${file} is neither the socket of an agent nor a private key`, { kind: 'invalid' });
  }
  return signer(key, file);
}

const locked = (file: string): HuskError =>
  new HuskError(`${file}: the key has a passphrase`, { kind: 'unsupported', fix: 'ssh-add it to an agent' });

const unknown = (file: string, kind: string): HuskError =>
  new HuskError(`${file}: keys of the kind ${JSON.stringify(kind.slice(0, 40))} are not there`, {
    kind: 'unsupported',
    fix: 'ssh-add it to an agent, or use an Ed25519, RSA or ECDSA key',
  });

/** Reads the fields of SSH's wire format: RFC 4251 § 5. Every length is checked against what is there. */
class Fields {
  #rest: Buffer;

  constructor(bytes: Buffer) {
    this.#rest = bytes;
  }

  number(): number {
    if (this.#rest.length < 4) throw new RangeError('it ends too early');
    const value = this.#rest.readUInt32BE(0);
    this.#rest = this.#rest.subarray(4);
    return value;
  }

  bytes(): Buffer {
    const length = this.number();
    if (length > this.#rest.length) throw new RangeError('it ends too early');
    const value = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    return value;
  }

  text(): string {
    return this.bytes().toString('latin1');
  }

  /** @returns a positive integer without leading zeros */
  integer(): Buffer {
    const value = this.bytes();
    return value.subarray(value.findIndex((byte) => byte !== 0));
  }
}

/** @returns the one key of a file of OpenSSH's */
function openSshKey(bytes: Buffer, file: string): JsonWebKey {
  if (bytes.subarray(0, MAGIC.length).toString('latin1') !== MAGIC) throw new RangeError('no key');
  const outer = new Fields(bytes.subarray(MAGIC.length));
  const cipher = outer.text();
  outer.text();
  outer.bytes();
  if (outer.number() !== 1) throw new RangeError('not one key');
  outer.bytes();
  if (cipher !== 'none') throw locked(file);
  const inner = new Fields(outer.bytes());
  if (inner.number() !== inner.number()) throw new RangeError('its checks differ');
  const kind = inner.text();
  if (kind === 'ssh-ed25519') {
    const x = inner.bytes();
    return { kty: 'OKP', crv: 'Ed25519', x: encoded(x), d: encoded(inner.bytes().subarray(0, 32)) };
  }
  if (kind === 'ssh-rsa') return rsa(inner);
  const found = Object.values(CURVES).find(({ curve }) => kind === `ecdsa-sha2-${curve}`);
  if (!found) throw unknown(file, kind);
  inner.text();
  // an uncompressed point: 4, x, y
  const point = inner.bytes();
  const [x, y] = [point.subarray(1, 1 + found.bytes), point.subarray(1 + found.bytes)];
  const d = inner.integer();
  const padded = Buffer.concat([Buffer.alloc(Math.max(0, found.bytes - d.length)), d]);
  return { kty: 'EC', crv: found.jwk, x: encoded(x), y: encoded(y), d: encoded(padded) };
}

function rsa(inner: Fields): JsonWebKey {
  const [n, e, d, qi, p, q] = [1, 2, 3, 4, 5, 6].map(() => inner.integer()) as [
    Buffer,
    Buffer,
    Buffer,
    Buffer,
    Buffer,
    Buffer,
  ];
  if (n.length * 8 > RSA_BITS[1]) throw new RangeError('too long');
  const modulo = (prime: Buffer): Buffer => {
    const hex = (big(d) % (big(prime) - 1n)).toString(16);
    return Buffer.from(hex.padStart(hex.length + (hex.length % 2), '0'), 'hex');
  };
  const [dp, dq] = [modulo(p), modulo(q)];
  return Object.fromEntries([
    ['kty', 'RSA'],
    ...Object.entries({ n, e, d, p, q, dp, dq, qi }).map(([name, value]) => [name, encoded(value)]),
  ]) as JsonWebKey;
}

const big = (bytes: Buffer): bigint => BigInt(`0x${bytes.toString('hex') || '0'}`);
const encoded = (bytes: Buffer): string => bytes.toString('base64url');

/** A string of SSH's wire format. */
export function field(value: string | Uint8Array): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

/** A positive mpint: a zero stands before a first bit that is set. */
function integer(bytes: Buffer): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0);
  const value = first === -1 ? Buffer.alloc(0) : bytes.subarray(first);
  return field((value[0] ?? 0) > 0x7f ? Buffer.concat([Buffer.alloc(1), value]) : value);
}

const decoded = (text: string | undefined): Buffer => Buffer.from(text ?? '', 'base64url');

function signer(key: KeyObject, file: string): SshKey {
  const type = key.asymmetricKeyType ?? '';
  const jwk = ['ed25519', 'rsa', 'ec'].includes(type) ? createPublicKey(key).export({ format: 'jwk' }) : {};
  const signed = (algorithm: string, signature: Buffer): Buffer => Buffer.concat([field(algorithm), field(signature)]);
  if (type === 'ed25519') {
    const name = 'ssh-ed25519';
    const blob = Buffer.concat([field(name), field(decoded(jwk.x))]);
    return { blob, comment: basename(file), sign: (data) => signed(name, sign(null, data, key)) };
  }
  if (type === 'rsa') {
    const bits = key.asymmetricKeyDetails?.modulusLength ?? 0;
    if (bits < RSA_BITS[0] || bits > RSA_BITS[1])
      throw new HuskError(`${file}: an RSA key of ${bits} bits is not between ${RSA_BITS.join(' and ')}`, {
        kind: 'invalid',
      });
    return {
      blob: Buffer.concat([field('ssh-rsa'), integer(decoded(jwk.e)), integer(decoded(jwk.n))]),
      comment: basename(file),
      sign(data, flags) {
        if (flags & RSA_SHA2_512) return signed('rsa-sha2-512', sign('sha512', data, key));
        return flags & RSA_SHA2_256 ? signed('rsa-sha2-256', sign('sha256', data, key)) : undefined;
      },
    };
  }
  const found = type === 'ec' ? CURVES[jwk.crv ?? ''] : undefined;
  if (!found) throw unknown(file, type);
  const name = `ecdsa-sha2-${found.curve}`;
  const point = Buffer.concat([Buffer.from([4]), decoded(jwk.x), decoded(jwk.y)]);
  return {
    blob: Buffer.concat([field(name), field(found.curve), field(point)]),
    comment: basename(file),
    sign(data) {
      const both = sign(found.hash, data, { key, dsaEncoding: 'ieee-p1363' });
      const half = both.length / 2;
      return signed(name, Buffer.concat([integer(both.subarray(0, half)), integer(both.subarray(half))]));
    },
  };
}
