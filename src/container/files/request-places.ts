/**
 * Which folders a request for a container's files needs. Apart from what answers it (answer.ts), which the supervisor
 * of a container that runs on the host never loads: a program of its own answers there.
 */
import type { FilesRequest } from '../../sandbox.ts';
import type { UpperForm } from './upper.ts';

/** Folders of this process; each request needs some of them. */
export interface FilesPlaces {
  /** the container's / as its processes see it */
  root?: string;
  /** image and changes, with nothing mounted on them */
  whole?: string;
  /** the changes */
  upper?: string;
  /** the image */
  lower?: string;
  form?: UpperForm;
}

/** @returns the folders that the request needs */
export function placesFor(request: FilesRequest): readonly ('root' | 'whole' | 'upper' | 'lower')[] {
  switch (request.op) {
    case 'stat':
    case 'archive':
    case 'extract':
      return ['root'];
    case 'export':
      return ['whole'];
    default:
      return ['upper', 'lower'];
  }
}
