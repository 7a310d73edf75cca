/**
 * Here-documents: the words `<<NAME` in an instruction's line, and what their bodies become. These functions are
 * pure.
 */
import { expand, type Escape } from './words.ts';

/** A here-document's word, and its body once it is read. */
export interface HereDocument {
  name: string;
  /** `<<-`: tabs that lead a line go */
  chomp: boolean;
  /** quotes round the name switch expansion off */
  expand: boolean;
  /** the lines as they are, tabs and all */
  content: string;
}

/** Words that a line's here-documents are looked for in are the shell's, whatever `# escape=` says. */
const ESCAPE: Escape = '\\';
const NONE = { get: () => undefined };
const WORD = /^\d*<<(-?)([^<]*)$/;

/** @returns the here-document that a word opens; undefined for every other word */
export function hereDocument(word: string): HereDocument | undefined {
  const match = WORD.exec(word);
  if (!match || match[2] === '') return undefined;
  const raw = words(match[2]!, true);
  const plain = words(match[2]!, false);
  if (raw.length !== 1 || plain.length !== 1) return undefined;
  return { name: plain[0]!, chomp: match[1] === '-', expand: raw[0] === plain[0], content: '' };
}

/** @returns the here-documents that a line opens, in order */
export function hereDocumentsOf(line: string): HereDocument[] {
  if (!line.includes('<<')) return [];
  return words(line, true).flatMap((word) => hereDocument(word) ?? []);
}

/** Takes the tabs off that lead the lines. */
const chomped = (content: string) => content.replace(/^\t+/gm, '');

/** The body as it is used. */
export const bodyOf = ({ content, chomp }: HereDocument) => (chomp ? chomped(content) : content);

function words(text: string, raw: boolean): string[] {
  try {
    return expand(text, { escape: ESCAPE, variables: NONE, rawQuotes: raw, rawEscapes: raw, keepUnset: true }).words;
  } catch {
    // A line that is no sequence of words, such as one with a lone quote, opens none.
    return [];
  }
}
