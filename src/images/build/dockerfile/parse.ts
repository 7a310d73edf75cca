/** The parser: bytes of a Dockerfile become stages of commands with their places. Nothing is expanded or looked up. */
import { HuskError } from '../../../errors.ts';
import { hereDocumentsOf } from './heredocs.ts';
import type { ArgCommand, Command, FromCommand, Syntax } from './commands.ts';
import { hasHereDocuments, readCommand, readSyntax } from './instructions.ts';
import { LineReader, type Directives } from './lines.ts';
import { BuildError, type SourceRange } from '../operations.ts';

/** Stages of a Dockerfile; each is planned, and may be run, on its own. */
const MAX_STAGES = 1024;
/** Instructions of a Dockerfile; each may become a step and a history entry. */
const MAX_INSTRUCTIONS = 16_384;

/** characters of an error's text */
const MAX_MESSAGE = 1000;

export type StageCommand = Exclude<Command, FromCommand>;

interface Stage {
  from: FromCommand;
  commands: StageCommand[];
}

export interface Dockerfile {
  /** ARGs before the first FROM */
  globals: ArgCommand[];
  stages: Stage[];
  directives: Directives;
  /** instructions with an empty line within their continuation */
  emptyContinuations: SourceRange[];
  /** as excerpts show them */
  lines: string[];
}

/**
 * Parses a Dockerfile.
 * @throws BuildError with the range of the line that is wrong
 */
export function parseDockerfile(bytes: Uint8Array): Dockerfile {
  const { syntaxes, emptyContinuations, reader } = readInstructions(bytes);
  const stages: Stage[] = [];
  const globals: ArgCommand[] = [];
  for (const syntax of syntaxes) {
    const { range } = syntax;
    const command = located(range, () => readCommand(syntax), `dockerfile parse error on line ${range.start}: `);
    const stage = stages.at(-1);
    if (command.kind === 'from') stages.push({ from: command, commands: [] });
    else if (stage) stage.commands.push(command);
    else if (command.kind === 'arg') globals.push(command);
    else throw new BuildError('no build stage in current context', { kind: 'invalid', range, fix: 'begin with FROM' });
    if (stages.length > MAX_STAGES)
      throw new BuildError(`the Dockerfile has more than ${MAX_STAGES} stages`, { kind: 'limit', range });
  }
  const { lines, directives } = reader;
  if (stages.length === 0)
    throw new BuildError('dockerfile contains no stages to build', {
      kind: 'invalid',
      range: { start: reader.line, end: reader.line },
      fix: 'begin with FROM',
    });
  return { globals, stages, directives, emptyContinuations, lines };
}

/**
 * Reads the forms of all instructions.
 * @throws BuildError
 */
export function readInstructions(bytes: Uint8Array): {
  syntaxes: Syntax[];
  emptyContinuations: SourceRange[];
  reader: LineReader;
} {
  const reader = new LineReader(bytes);
  const syntaxes: Syntax[] = [];
  const emptyContinuations: SourceRange[] = [];
  for (let line = reader.next(); line; line = reader.next()) {
    const { text, range, emptyContinuation } = line;
    if (syntaxes.length === MAX_INSTRUCTIONS)
      throw new BuildError(`the Dockerfile has more than ${MAX_INSTRUCTIONS} instructions`, { kind: 'limit', range });
    const syntax = located(range, () => readSyntax(line, reader.directives.escape));
    syntaxes.push(syntax);
    if (emptyContinuation) emptyContinuations.push(range);
    if (hasHereDocuments(syntax)) readBodies(syntax, text, reader);
  }
  if (syntaxes.length === 0)
    throw new BuildError('file with no instructions', {
      kind: 'invalid',
      range: { start: Math.max(reader.line, 1), end: Math.max(reader.line, 1) },
    });
  return { syntaxes, emptyContinuations, reader };
}

/** Reads the bodies of here-documents, which follow their line in the order of their words. */
function readBodies(syntax: Syntax, text: string, reader: LineReader): void {
  const inner = syntax.trigger ?? syntax;
  for (const document of hereDocumentsOf(text)) {
    const content = reader.hereDocument(document.name, document.chomp);
    syntax.range = inner.range = { start: syntax.range.start, end: reader.line };
    if (content === undefined)
      throw new BuildError('unterminated heredoc', {
        kind: 'invalid',
        range: syntax.range,
        fix: `end it with a line that is ${document.name}`,
      });
    inner.hereDocuments.push({ ...document, content });
  }
}

/**
 * Reads the trigger that a base has from ONBUILD.
 * @param range of the FROM that brought it
 * @throws BuildError
 */
export function parseTrigger(trigger: string, range: SourceRange): StageCommand {
  return located(range, () => {
    const { syntaxes } = withoutPlace(() => readInstructions(new TextEncoder().encode(trigger)));
    if (syntaxes.length !== 1)
      throw new HuskError('onbuild trigger should be a single expression', { kind: 'invalid' });
    const command = readCommand({ ...syntaxes[0]!, range, comments: [] });
    if (command.kind === 'from' || command.kind === 'onbuild' || command.kind === 'maintainer')
      throw new HuskError(`${command.name} isn't allowed as an ONBUILD trigger`, { kind: 'invalid' });
    return { ...command, onbuild: true };
  });
}

/** For text that is not of the Dockerfile: a line number of it would name a line of the file that has no fault. */
export function withoutPlace<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    throw new HuskError(error.message, { kind: error.kind, fix: error.fix, cause: error });
  }
}

/** Gives the errors of what is read the place where it stands. */
export function located<T>(range: SourceRange, read: () => T, prefix = ''): T {
  try {
    return read();
  } catch (error) {
    throw placed(error, range, prefix);
  }
}

/** @returns an error with a place; one that has its place, or is a bug, as it is */
export function placed(error: unknown, range: SourceRange, prefix = ''): unknown {
  if (!(error instanceof HuskError) || (error instanceof BuildError && error.range && prefix === '')) return error;
  const { kind, fix } = error;
  // What was written may be a line of megabytes.
  const message = prefix + error.message;
  return new BuildError(message.length > MAX_MESSAGE ? `${message.slice(0, MAX_MESSAGE)}…` : message, {
    kind,
    range,
    fix,
    cause: error,
  });
}
