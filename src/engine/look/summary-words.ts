/**
 * The two texts that lists of containers show, in the words of Docker's daemon: what a container does, and its command.
 * Pure.
 */
import { ago, humanDuration } from '../../notation/elapsed.ts';
import type { Container } from '../contract.ts';

/** Parses Go's text of a time. @returns ms; NaN for the zero time */
function parseTime(text: string): number {
  return text.startsWith('0001-') ? Number.NaN : Date.parse(text);
}

/** @returns a status such as `Up 3 seconds`, `Exited (0) 5 minutes ago`, `Created` */
export function statusText(container: Container, now: number): string {
  const { state } = container;
  const up = humanDuration(Math.max(0, now - parseTime(state.startedAt)));
  const ended = ago(parseTime(state.finishedAt), now);
  switch (state.status) {
    case 'running': {
      const health = state.health?.status;
      return health === undefined ? `Up ${up}` : `Up ${up} (${health === 'starting' ? 'health: starting' : health})`;
    }
    case 'paused':
      return `Up ${up} (Paused)`;
    case 'restarting':
      return `Restarting (${state.exitCode}) ${ended}`;
    case 'removing':
      return 'Removal In Progress';
    case 'dead':
      return 'Dead';
    case 'created':
      return 'Created';
    case 'exited':
      return Number.isNaN(parseTime(state.finishedAt)) ? 'Created' : `Exited (${state.exitCode}) ${ended}`;
  }
}

/** @returns path and arguments; Docker's daemon puts quotes around an argument that has a space, and escapes nothing */
export function commandText({ path, args }: Pick<Container['config'], 'path' | 'args'>): string {
  return [path, ...args.map((word) => (word.includes(' ') ? `'${word}'` : word))].join(' ');
}
