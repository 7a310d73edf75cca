/**
 * Encodes an entry for systemd's journal as one datagram: its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL). A
 * field is `NAME=value\n`, or where the value has a line break `NAME\n`, its length as u64 little-endian, the value,
 * `\n`. This module makes bytes only.
 */
import type { LogAttributes } from './attributes.ts';
import type { LoggedContainer } from './request.ts';
import type { Stream } from './sink.ts';

/** priorities of Docker's driver, sd-daemon(3): SD_ERR and SD_INFO */
const PRIORITIES: Record<Stream, number> = { stderr: 3, stdout: 6 };
/** limit of bytes, src/basic/journal-importer and journald-native.c: longer names are refused */
const MAX_NAME = 64;

/**
 * Encodes the fields that all entries of a container share (moby daemon/logger/journald). An attribute never replaces
 * one of husk's own fields.
 */
export function sharedFields(container: LoggedContainer, { extra, tag }: LogAttributes): Buffer {
  const fields: Record<string, string> = {
    CONTAINER_ID: container.id.slice(0, 12),
    CONTAINER_ID_FULL: container.id,
    CONTAINER_NAME: container.name,
    CONTAINER_TAG: tag ?? '',
    IMAGE_NAME: container.image,
    SYSLOG_IDENTIFIER: tag ?? '',
  };
  const taken = new Set([
    ...Object.keys(fields),
    'MESSAGE',
    'PRIORITY',
    'SYSLOG_TIMESTAMP',
    'CONTAINER_PARTIAL_MESSAGE',
  ]);
  const more = Object.entries(extra).map(([key, value]) => [fieldName(key), value] as const);
  return Buffer.concat(
    [...Object.entries(fields), ...more.filter(([name]) => name !== '' && !taken.has(name))].map(([name, value]) =>
      field(name, Buffer.from(value)),
    ),
  );
}

export interface JournalEntry {
  stream: Stream;
  /** one line without its \n, or a part of one */
  text: Uint8Array;
  partial: boolean;
  /** RFC 3339 */
  time: string;
}

export function encodeEntry(entry: JournalEntry, shared: Buffer): Buffer {
  const partial = entry.partial ? 'CONTAINER_PARTIAL_MESSAGE=true\n' : '';
  return Buffer.concat([
    Buffer.from(`PRIORITY=${PRIORITIES[entry.stream]}\nSYSLOG_TIMESTAMP=${entry.time}\n${partial}`),
    shared,
    field('MESSAGE', entry.text),
  ]);
}

/**
 * @returns a key as a name that the journal accepts: capitals, digits and underscores, beginning with a capital
 * (systemd.journal-fields(7))
 */
export function fieldName(key: string): string {
  return key
    .toUpperCase()
    .replace(/[^A-Z0-9]/g, '_')
    .replace(/^[_0-9]+/, '')
    .slice(0, MAX_NAME);
}

function field(name: string, value: Uint8Array): Buffer {
  if (!value.includes(0x0a)) return Buffer.concat([Buffer.from(`${name}=`), value, Buffer.from('\n')]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(value.length), 0);
  return Buffer.concat([Buffer.from(`${name}\n`), length, value, Buffer.from('\n')]);
}
