/**
 * What `--log-opt labels=…,env=…,tag=…` adds to every entry of a log (moby daemon/logger/loginfo.go,
 * loggerutils/log_tag.go). Of Docker's tag templates husk knows the plain fields, `{{.Name}}/{{.ID}}`, and no
 * functions. This module only decides.
 */
import { HuskError } from '../errors.ts';
import { goPattern } from '../notation/go-pattern.ts';
import type { LoggedContainer, LogRequest } from './request.ts';

/** the tag of entries in the journal when no other is asked for: Docker's default template */
const DEFAULT_TAG = '{{.ID}}';
const SHORT_ID = 12;
/** limit of bytes of all attributes as JSON: they are in every entry, and readers bound an entry's length */
const MAX_ATTRIBUTES = 32 * 1024;

export interface LogAttributes {
  /** attributes of labels and env; on the same key env wins */
  extra: Record<string, string>;
  /** the tag; undefined where none was asked for */
  tag: string | undefined;
}

/** @throws HuskError `invalid` for a tag that is no template of known fields, and for attributes over the limit */
export function logAttributes(log: LogRequest, container: LoggedContainer): LogAttributes {
  if (log.driver === 'none') return { extra: {}, tag: undefined };
  const env = Object.fromEntries(
    container.env
      .filter((entry) => entry.includes('='))
      .map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]),
  );
  const { labels, 'labels-regex': labelPattern, env: names, 'env-regex': envPattern, tag } = log.options;
  const extra = { ...chosen(container.labels, labels, labelPattern), ...chosen(env, names, envPattern) };
  const size = Buffer.byteLength(JSON.stringify(extra));
  if (size > MAX_ATTRIBUTES)
    throw new HuskError(
      `the labels and env of the log options are ${size} bytes, over the bound of ${MAX_ATTRIBUTES}`,
      { kind: 'invalid', exitCode: 125, fix: 'choose fewer' },
    );
  return { extra, tag: tag === undefined || tag === '' ? undefined : tagOf(tag, container) };
}

export function defaultTag(container: LoggedContainer): string {
  return tagOf(DEFAULT_TAG, container);
}

/** Picks values by key, in the sorted order in which Go writes a map. */
function chosen(
  values: Record<string, string>,
  list: string | undefined,
  pattern: string | undefined,
): Record<string, string> {
  const names = new Set(list?.split(',') ?? []);
  const matches =
    pattern === undefined || pattern === '' ? undefined : goPattern(pattern, 'regular expression of the log options');
  return Object.fromEntries(Object.entries(values).filter(([key]) => names.has(key) || matches?.(key) === true));
}

function tagOf(template: string, container: LoggedContainer): string {
  const imageHex = container.imageId.replace(/^sha256:/, '');
  const fields: Record<string, string> = {
    ID: container.id.slice(0, SHORT_ID),
    FullID: container.id,
    Name: container.name,
    ImageID: imageHex.slice(0, SHORT_ID),
    ImageFullID: container.imageId,
    ImageName: container.image,
    DaemonName: 'husk',
  };
  const tag = template.replace(/\{\{\s*\.(\w+)\s*\}\}/g, (whole, name: string) =>
    Object.hasOwn(fields, name) ? fields[name]! : whole,
  );
  if (
    template
      .replace(/\{\{\s*\.(\w+)\s*\}\}/g, (whole, name: string) => (Object.hasOwn(fields, name) ? '' : whole))
      .includes('{{')
  )
    throw new HuskError(`invalid log tag "${template}"`, {
      kind: 'invalid',
      exitCode: 125,
      fix: `fields are ${Object.keys(fields)
        .map((name) => `{{.${name}}}`)
        .join(', ')}`,
    });
  return tag;
}
