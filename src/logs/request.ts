/** What is asked of a container's log, and what a log may show of its container. This module has types only. */

export interface LogRequest {
  driver: string;
  options: Record<string, string>;
}

/** What a log may show of its container. */
export interface LoggedContainer {
  id: string;
  name: string;
  /** sha256:… */
  imageId: string;
  /** the image's name as typed */
  image: string;
  labels: Record<string, string>;
  env: readonly string[];
}
