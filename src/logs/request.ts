/** What a container's log is asked to be, and what it may say about its container. Types only. */

export interface LogRequest {
  driver: string;
  options: Record<string, string>;
}

/** What a log may say about its container. */
export interface LoggedContainer {
  id: string;
  name: string;
  /** sha256:… */
  imageId: string;
  /** as typed */
  image: string;
  labels: Record<string, string>;
  env: readonly string[];
}
