/** What `build --call` prints, to the letter as BuildKit and buildx do: tables, and JSON as Go writes it. */
import type { BuildCheck, BuildOutlineAnswer, BuildTargets } from '../../engine/build-contract.ts';
import type { BuildFailed } from '../../engine/build/failure.ts';
import type { SourceRange } from '../../images/build/operations.ts';
import type { BuildTarget } from '../../images/build/plan/parameters.ts';
import { table } from './table.ts';

/** parameters of BuildKit's tables: tabwriter.NewWriter(w, 0, 0, 3, ' ', 0), and 1 where a table is narrow */
const WIDE = { minimum: 0, padding: 3 };
const NARROW = { minimum: 0, padding: 1 };

export function outlineText({ name, description, arguments: args, secrets, agents }: BuildOutlineAnswer): string {
  const wanted = (each: { name: string; required: boolean }): string[] => [each.name, each.required ? 'true' : ''];
  const tables: [rows: string[][], form: typeof WIDE][] = [];
  if (name !== '' || description !== '')
    tables.push([
      [['TARGET:', name || '(default)'], ...(description === '' ? [] : [['DESCRIPTION:', description]])],
      NARROW,
    ]);
  if (args.length > 0) {
    const rows = args.map((each) => [each.name, each.value, each.description]);
    tables.push([[['BUILD ARG', 'VALUE', 'DESCRIPTION'], ...rows], WIDE]);
  }
  if (secrets.length > 0) tables.push([[['SECRET', 'REQUIRED'], ...secrets.map(wanted)], WIDE]);
  if (agents.length > 0) tables.push([[['SSH', 'REQUIRED'], ...agents.map(wanted)], WIDE]);
  return tables.map(([rows, form]) => `${table(rows.map(oneLine), form)}\n`).join('');
}

export function targetsText({ targets }: BuildTargets): string {
  const rows = targets.map((target) => [shownName(target), target.description]);
  return table([['TARGET', 'DESCRIPTION'], ...rows].map(oneLine), NARROW);
}

const shownName = ({ name, isDefault }: BuildTarget): string =>
  isDefault ? `${name === '' ? '' : `${name} `}(default)` : name;

/** A tab or a line break of a value would end its cell. */
const oneLine = (row: readonly string[]): string[] => row.map((cell) => cell.replaceAll(/[\t\n\v\f\r]/g, ' '));

export const outlineJson = ({ bytes, ...outline }: BuildOutlineAnswer): string =>
  goJson({
    name: given(outline.name),
    description: given(outline.description),
    args: some(
      outline.arguments.map(({ name, description, value, range }) => ({
        name,
        description: given(description),
        value: given(value),
        location: location(range),
      })),
    ),
    secrets: some(outline.secrets.map(wantedJson)),
    ssh: some(outline.agents.map(wantedJson)),
    sources: [base64(bytes)],
  });

const wantedJson = ({ name, required, range }: BuildOutlineAnswer['secrets'][number]): object => ({
  name,
  required: given(required),
  location: location(range),
});

export const targetsJson = ({ targets, bytes }: BuildTargets): string =>
  goJson({
    targets: targets.map(({ name, isDefault, description, base, platform, range }) => ({
      name: given(name),
      default: given(isDefault),
      description: given(description),
      base: given(base),
      platform: given(platform),
      location: location(range),
    })),
    sources: [base64(bytes)],
  });

/** BuildKit's `definition` of a source is left out: it says where its own cache has the file. */
export const checkJson = ({ warnings, file, bytes }: BuildCheck): string =>
  goJson({
    warnings: warnings.map(({ rule, description, url, message, range }) => ({
      ruleName: rule,
      description: given(description),
      url: given(url),
      detail: given(message),
      location: location(range),
    })),
    sources: [sourceJson(file, bytes)],
  });

/** The check of a file that no build could do. */
export const failedCheckJson = (message: string, place: NonNullable<BuildFailed['place']>): string =>
  goJson({
    warnings: [],
    sources: [sourceJson(place.file, Buffer.from(place.lines.join('\n')))],
    buildError: { message, location: location(place.range) },
  });

const sourceJson = (filename: string, bytes: Uint8Array): object => ({
  filename,
  language: 'Dockerfile',
  data: base64(bytes),
});

/** Go leaves out what has no value. */
const given = <T extends string | boolean>(value: T | undefined): T | undefined => value || undefined;
const some = <T>(values: T[]): T[] | undefined => (values.length > 0 ? values : undefined);

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');

/** A range for each line, as BuildKit's parser has them. */
const location = ({ start, end }: SourceRange): object => ({
  ranges: Array.from({ length: end - start + 1 }, (_, index) => ({
    start: { line: start + index },
    end: { line: start + index },
  })),
});

/** As Go's json.MarshalIndent: characters that HTML or JavaScript would take for its own are escaped. */
const goJson = (value: object): string =>
  JSON.stringify(value, undefined, 2).replaceAll(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  ) + '\n';
