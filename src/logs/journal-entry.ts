/**
 * An entry for systemd's journal as one datagram: its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).
 * `NAME=value\n`, or where the value has a line break `NAME\n`, its length as u64 little-endian, the value, `\n`. Makes
 * bytes only.
 */
import type { LogAttributes } from './attributes.ts';
import type { LoggedContainer } from './request.ts';
import type { Stream } from './sink.ts';

/** sd-daemon(3): SD_ERR and SD_INFO, as Docker has them */
const PRIORITIES: Record<Stream, number> = { stderr: 3, stdout: 6 };
/** src/basic/journal-importer and journald-native.c: longer names are refused */
const MAX_NAME = 64;

/**
 * The fields that all entries of a container share (moby daemon/logger/journald). An attribute never stands for one of
 * ours.
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
 * What the journal takes as a name: capitals, digits and underscores, none of these first (systemd.journal-fields(7)).
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
