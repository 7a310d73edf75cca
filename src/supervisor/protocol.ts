/**
 * What the CLI (through the engine) and a supervisor say to each other over the container's unix socket.
 *
 * Frame: u32 little-endian length of what follows (1..1 MiB), u8 kind, payload. Kind 0 is JSON (a Request or an Event); kinds 1-3
 * carry raw stdin, stdout, stderr bytes. One connection serves one conversation: after `attach` or `exec` it carries that
 * process's stdio until `exit`. The socket is mode 0600 in a 0700 folder: whoever reaches it is the user.
 */

export const FRAME_JSON = 0;
export const FRAME_STDIN = 1;
export const FRAME_STDOUT = 2;
export const FRAME_STDERR = 3;
/** bytes; longer frames end the connection */
export const MAX_FRAME = 1 << 20;

export type Request =
  /** execute the command of a container that is `created` */
  | { type: 'start' }
  /** stream the container's stdio; `stdin` wishes to write */
  | { type: 'attach'; stdin: boolean; stdout: boolean; stderr: boolean; columns?: number; rows?: number }
  | { type: 'exec'; id: string; process: import('../container/spec.ts').ProcessSpec; stdin: boolean; terminal: boolean; detach: boolean; columns?: number; rows?: number }
  | { type: 'resize'; columns: number; rows: number }
  /** within an attach or exec conversation: no more stdin */
  | { type: 'stdin-end' }
  | { type: 'signal'; signal: number }
  /** stop signal, then SIGKILL after the grace (seconds; -1 waits for ever) */
  | { type: 'stop'; timeout: number; signal?: number }
  | { type: 'pause' }
  | { type: 'unpause' }
  | { type: 'stats' }
  | { type: 'processes' }
  | { type: 'update'; resources: import('../container/spec.ts').Resources };

export type Event =
  | { type: 'ok'; value?: unknown }
  | { type: 'error'; message: string; kind: import('../errors.ts').ErrorKind; exitCode: number }
  | { type: 'started'; pid: number }
  | { type: 'exit'; code: number; signal?: number; oomKilled?: boolean; error?: string };
