/**
 * `--env-file` and `--label-file`: one `NAME=value` per line, `#` comments, no quotes, no escapes. The parser is pure;
 * the reader bounds the file, because it may be a device or a mistake.
 */
import { readFileSync, statSync } from 'node:fs';
import { causeOf, HuskError } from '../../errors.ts';

/** limit of bytes; an environment cannot be larger than execve(2)'s argument space */
const MAX_FILE = 4 << 20;

/**
 * @param options.env environment that has the value of a bare NAME; the NAME is left out when it is not set there.
 * Without `env` a bare NAME stays (labels).
 */
export function parseLines(text: string, options: { env?: NodeJS.ProcessEnv } = {}): string[] {
  const lines: string[] = [];
  for (const raw of text.replace(/^\uFEFF/, '').split('\n')) {
    const line = raw.replace(/\r$/, '').replace(/^\s+/, '');
    if (line === '' || line.startsWith('#')) continue;
    const equals = line.indexOf('=');
    const name = equals === -1 ? line.trimEnd() : line.slice(0, equals);
    if (/\s/.test(name)) throw new Error(`variable '${name}' contains whitespaces`);
    if (name === '') throw new Error(`no variable name on line '${line}'`);
    if (equals !== -1) lines.push(line);
    else if (!options.env) lines.push(name);
    else if (options.env[name] !== undefined) lines.push(`${name}=${options.env[name]}`);
  }
  return lines;
}

export function readLines(file: string, options: { env?: NodeJS.ProcessEnv; what: 'env' | 'label' }): string[] {
  let text: string;
  try {
    if (statSync(file).size > MAX_FILE) throw new Error(`larger than ${MAX_FILE} bytes`);
    text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const why =
      code === 'ENOENT' || code === 'EACCES'
        ? `open ${file}: ${causeOf(error)}`
        : `cannot read the ${options.what} file ${file}: ${causeOf(error)}`;
    throw new HuskError(why, { kind: 'invalid', cause: error });
  }
  try {
    return parseLines(text, options);
  } catch (error) {
    throw new HuskError(`invalid ${options.what} file (${file}): ${causeOf(error)}`, { kind: 'invalid', cause: error });
  }
}
