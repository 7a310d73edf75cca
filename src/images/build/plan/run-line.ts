/** What a RUN with here-documents executes. Pure. */
import { fileName } from './file-names.ts';
import { bodyOf, hereDocument } from '../dockerfile/heredocs.ts';
import type { CommandLine, RunCommand } from '../dockerfile/commands.ts';

/** folder in which a here-document that is a program appears */
const PIPES = '/dev/pipes';
/** characters of a here-document that a step's text shows */
const MAX_SUMMARY = 80;

/**
 * A lone here-document is the shell's text, or a program if it begins with `#!`; with words before it, the shell gets
 * the command and the here-document, and resolves it itself.
 * @param files gets the program
 * @returns the command's line, and what a step's text says of the here-document
 * @throws HuskError `invalid` for a name that is no file's
 */
export function runLine(
  { line, hereDocuments }: Pick<RunCommand, 'line' | 'hereDocuments'>,
  files: { name: string; data: string }[],
): { line: CommandLine; summary: string } {
  const [document] = hereDocuments;
  if (!document) return { line, summary: '' };
  if (!hereDocument(line.words[0]!)) {
    const bodies = hereDocuments.map(({ content, name }) => `\n${content}${name}`);
    return { line: { words: [line.words[0]! + bodies.join('')], shell: true }, summary: '' };
  }
  const data = bodyOf(document);
  const summary = ` (${summaryOf(data)})`;
  if (!data.startsWith('#!')) return { line: { words: [data], shell: true }, summary };
  const name = fileName(document.name);
  files.push({ name, data });
  return { line: { words: [`${PIPES}/${name}`], shell: true }, summary };
}

function summaryOf(data: string): string {
  const [first = '', ...more] = data.trim().slice(0, MAX_SUMMARY).split(/\r?\n/);
  return more.length > 0 || data.trim().length > MAX_SUMMARY ? `${first}...` : first;
}
