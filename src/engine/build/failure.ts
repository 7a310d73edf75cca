/** Why a build failed, with the place in the Dockerfile and the step. */
import { HuskError, type ErrorKind } from '../../errors.ts';
import type { SourceRange } from '../../images/build/operations.ts';

export interface FailurePlace {
  /** the Dockerfile's name, as messages have it */
  file: string;
  /** all of its lines */
  lines: readonly string[];
  range: SourceRange;
}

export class BuildFailed extends HuskError {
  readonly place: FailurePlace | undefined;
  /** number of the step, as in the events */
  readonly step: number | undefined;

  constructor(
    message: string,
    options: { kind: ErrorKind; fix?: string; cause: unknown; place?: FailurePlace; step?: number; exitCode?: number },
  ) {
    super(message, options);
    this.place = options.place;
    this.step = options.step;
  }
}

/** A command of a RUN that ended with another code than 0. */
export class CommandFailed extends HuskError {
  /** its words in one text */
  readonly command: string;
  /** 1 to 255 */
  readonly code: number;

  constructor(message: string, { command, code }: { command: string; code: number }) {
    super(message, { kind: 'start-failed' });
    this.command = command;
    this.code = code;
  }
}
