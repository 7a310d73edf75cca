/** Thrown by a command that has already said what went wrong and only has an exit code left. */
export class Silent extends Error {
  readonly exitCode: number;

  constructor(exitCode: number) {
    super(`exit code ${exitCode}`);
    this.exitCode = exitCode;
  }
}
