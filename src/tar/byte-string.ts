/**
 * Names in a tar are bytes, not text: a layer may hold `caf\xe9` beside `café`. Everywhere in husk a name or path that
 * came from a tar is a *byte string*: a JavaScript string with one character (U+0000-U+00FF) for each byte, i.e.
 * Buffer's "latin1". It compares, hashes and slices like the bytes it stands for, costs no allocation of a Buffer, and
 * for ASCII it is the text itself. It becomes bytes again only at the system call, and text only in a message.
 */

/** one character per byte; see the header of this file */
export type ByteString = string;

export function toBytes(name: ByteString): Buffer {
  return Buffer.from(name, 'latin1');
}

/** @param bytes a name as the file system or an archive gives it */
export function fromBytes(bytes: Uint8Array): ByteString {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

/** @param text an ordinary JavaScript string, e.g. a name that husk chose; it is encoded as UTF-8 */
export function fromText(text: string): ByteString {
  return Buffer.from(text, 'utf8').toString('latin1');
}

const NOT_ASCII = /[^\x00-\x7f]/;

/**
 * @returns the name for messages: decoded as UTF-8 where it is UTF-8, with control characters made visible (a name must
 * not control a terminal)
 */
export function display(name: ByteString): string {
  const text = NOT_ASCII.test(name) ? toBytes(name).toString('utf8') : name;
  return text.replace(
    /[\x00-\x1f\x7f-\x9f]/g,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}
