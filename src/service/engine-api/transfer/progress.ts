/**
 * Progress of a pull, a push, an import or a load as lines of Docker's API (jsonmessage.JSONMessage). Older clients
 * show the bar's text as it comes, newer ones draw their own by the numbers. Pure.
 */
import type { Progress } from '../../../images/store/contract.ts';
import { humanSize } from '../../../notation/sizes.ts';
import type { Tell } from './lines.ts';

/** characters of the bar between its brackets, and of the count before its unit ends; moby pkg/jsonmessage */
const BAR = 50;
const COUNT = 8;

export function tellProgress(tell: Tell): (progress: Progress) => void {
  return (progress) =>
    tell(progressLine(progress), progress.current === undefined ? undefined : `${progress.id} ${progress.status}`);
}

export function progressLine({ id, status, current, total }: Progress): object {
  const identified = id === undefined ? {} : { id };
  // the line that says where from is of the whole pull: Docker's has the tag as its id, and no detail
  if (current === undefined)
    return {
      status,
      ...(id !== undefined && !status.startsWith('Pulling from ') && { progressDetail: {} }),
      ...identified,
    };
  const progressDetail = { current, ...(total !== undefined && { total }) };
  return { status, progressDetail, progress: progressText(current, total), ...identified };
}

/** @returns `[=>      ]  19.97kB/1.984MB`; the count alone where nobody knows the whole or it was too little */
function progressText(current: number, total: number | undefined): string {
  const count = humanSize(current).padStart(COUNT);
  if (!total) return count;
  const done = Math.min(BAR, Math.trunc(Math.trunc((current / total) * 100) / 2));
  const bar = `[${'='.repeat(done)}>${' '.repeat(BAR - done)}] `;
  return bar + (current > total ? count : `${count}/${humanSize(total)}`);
}
