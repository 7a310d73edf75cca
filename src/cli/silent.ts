/** Thrown by a command that has reported its failure already, to end with an exit code. */
export class Silent extends Error {
  readonly exitCode: number;

  constructor(exitCode: number) {
    super(`exit code ${exitCode}`);
    this.exitCode = exitCode;
  }
}
