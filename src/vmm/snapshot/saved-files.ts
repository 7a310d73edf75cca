/** What lies in the folder of a machine that was saved with a container in it. */
import { join } from 'node:path';

export interface SavedFiles {
  /** see machine-state.ts, memory-file.ts */
  state: string;
  memory: string;
  /** the container's own disk as it was at the same moment */
  disk: string;
}

/** where a running container's monitor writes them: in the container's own folder, which is all that it may write to */
export const savedFolder = (containerFolder: string): string => join(containerFolder, 'saved');

/** @returns paths */
export const savedFiles = (folder: string): SavedFiles => ({
  state: join(folder, 'state'),
  memory: join(folder, 'memory'),
  disk: join(folder, 'disk'),
});
