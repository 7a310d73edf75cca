/**
 * The whole contract between the host (the VM sandbox, src/vmm/) and the guest agent (src/guest-agent/). The host
 * believes nothing it reads here: lengths are bounded, messages are checked field by field, and a stream's bytes are
 * only ever passed on.
 *
 * Transport: vsock. The agent connects to the host (CID 2) at CONTROL_PORT as soon as it can serve: that connection is
 * "agent ready". Each stdio stream or bulk transfer is a connection of its own to STREAM_PORT, opened by the agent when
 * a request names it, beginning with the stream's token; then raw bytes; end-of-file is the connection's shutdown. Any
 * process of the guest may connect: the token is what nobody but the agent knows, and the one control connection is
 * made before there is a container.
 *
 * Control frame: u32 little-endian length (1..MAX_MESSAGE; of a request 1..MAX_REQUEST), then that many bytes of JSON:
 * a Request, Reply or Notice. Requests are numbered by the host; a reply carries the number.
 *
 * Sockets of the host's: the agent listens at SOCKETS_FOLDER, and opens a stream for each connection, beginning with
 * the token of the socket's; what the host cannot connect it resets.
 *
 * Names: the stream that `create.names` calls for goes both ways, in frames of NAME_FRAME's kinds
 * (src/network/names/relay-frames.ts).
 */
import type { Mount, ProcessSpec, Resources, Spec } from './spec.ts';
import type { ErrorKind } from './errors.ts';
import type { FilesRequest } from './sandbox.ts';

/** Both sides must have the same: the agent's disk and the host's bundle are built together. */
export const AGENT_PROTOCOL_VERSION = 9;

/**
 * The group (fsgid) under which the agent asks the device of the shares for what raises an event in the guest's kernel:
 * of what comes under it the device changes nothing on the host, whoever asks. No other number would be as safe: that
 * of an older or a copied machine must not be taken for a change that is wanted. Not 2^32-1, which is no group.
 */
export const TELLING_GID = 0xffff_fffd;

/** A change of the host's in a share, which programs of the guest that watch it (inotify) are to hear of. */
export interface FileChange {
  /** FUSE node; with a name that of the folder */
  node: number;
  /** where the node is beneath the shares, one character for each byte; absent: it has no name any more */
  path?: string;
  /** likewise, one component; absent: the node itself was changed */
  name?: string;
  what: 'created' | 'gone' | 'modified' | 'attributes';
  /** S_IFMT bits of what was created or is gone */
  kind?: number;
}

/** vsock ports on the host, VMADDR_CID_HOST = 2 (linux/vm_sockets.h) */
export const CONTROL_PORT = 1024;
export const STREAM_PORT = 1025;

/**
 * where the agent mounts the virtio-fs devices (one a shared folder, by tag), and puts the files it was given: what
 * bind mounts of the spec name
 */
export const SHARES_FOLDER = '/run/husk/shares';
export const FILES_FOLDER = '/run/husk/files';
/** where the agent puts the unix sockets that stand for the host's, by their numbers: what bind mounts name, too */
export const SOCKETS_FOLDER = '/run/husk/sockets';

/** bytes of one control message of the guest's */
export const MAX_MESSAGE = 4 << 20;
/**
 * bytes of one of the host's: arguments and environment of a container (execve(2) takes 6 MiB), where JSON may make six
 * bytes of one
 */
export const MAX_REQUEST = 64 << 20;
/** streams the host accepts at once from one guest */
export const MAX_STREAMS = 1024;
/** unanswered requests the host keeps for one guest */
export const MAX_REQUESTS = 1024;

/**
 * ms by which a clock is moved without a jump: programs bear one that runs a little wrong better. To slew more would
 * take minutes
 */
export const MOST_SLEW = 40;

/** The container's first process is always process 0; execs count up from 1. The host numbers them. */
export type ProcessNumber = number;

/** bytes of a token, as they come first on a stream's connection; a Request names them in hexadecimal */
export const STREAM_TOKEN_BYTES = 16;
/**
 * Attack: a process of the container that counts or guesses what another's stream is called, and speaks or listens in
 * its place. 128 random bits.
 */
export type StreamToken = string;

/**
 * Tokens the host chose for a process's stdio; absent streams are not connected. With a terminal only `stdin` and
 * `stdout` exist.
 */
export interface ProcessStreams {
  stdin?: StreamToken;
  stdout?: StreamToken;
  stderr?: StreamToken;
}

/** A unix socket of the guest's that stands for one of the host's. */
export interface GuestSocket {
  /** as the container sees them */
  uid: number;
  gid: number;
  /** bits of permissions */
  mode: number;
  /** of the stream that each connection is carried by; absent: nobody listens */
  stream?: StreamToken;
}

/** The MAC address that a template's network device has until the agent gives it the container's. */
export const templateMac = (number: number): string => `02:68:75:73:6b:${number.toString(16).padStart(2, '0')}`;

/** What one of the container's network interfaces is to be; the host has settled it. Addresses as text. */
export interface InterfaceSetup {
  /** in the container, as Docker names them: eth0, eth1, … */
  name: string;
  /**
   * `02:42:…`, six bytes: by it the guest tells its network devices apart; in a machine out of a template the device
   * of the interface's number has `templateMac`
   */
  mac: string;
  /** bytes of payload in a frame */
  mtu: number;
  addresses: { address: string; /** bits of the network */ prefix: number }[];
  defaultRoutes: { family: 4 | 6; /** absent: everybody is on the link */ gateway?: string }[];
}

/**
 * What the frames of a relay of names are: u32 little-endian bytes of the content, u32 little-endian number, u8 kind,
 * content. Either side numbers what it asks, and is answered by that number; each question has one answer.
 */
export const NAME_FRAME = {
  /** agent: a container's question as it came, by which protocol; the answer is cut to what its client has room for */
  QUERY_UDP: 1,
  QUERY_TCP: 2,
  /** host: the answer as it is to go; without content: nothing is to be said */
  ANSWER: 3,
  /** host: a question for a resolver, to be asked from the container: u8 bytes of the address, its text, a message */
  ASK_UDP: 4,
  ASK_TCP: 5,
  /** agent: a message has come from that resolver; any number of them, until the host wants no more */
  HEARD: 6,
  /** agent: that resolver cannot be asked */
  FAILED: 7,
  /** host: what comes now from that resolver is of no use */
  FORGET: 8,
} as const;

/** `id` as a mount of the spec has it for its source. */
export interface ImageDevice {
  id: string;
  device: string;
}

/** A layer of a build's machine: 0 is its root disk, the others have the number of the request that made them. */
export type LayerNumber = number;

/** A mount of a build's step, as src/build-sandbox.ts has them; paths are the guest's. */
export type GuestBuildMount =
  /** `lower`: topmost first */
  | { type: 'bind'; target: string; lower: LayerNumber[]; source?: string; readOnly: boolean }
  /** `folder` has the cache's files in `data`, which is there */
  | {
      type: 'cache';
      target: string;
      folder: string;
      source?: string;
      readOnly: boolean;
      mode: number;
      uid: number;
      gid: number;
    }
  | { type: 'tmpfs'; target: string; size?: number }
  | { type: 'secret'; target: string; /** base64 */ data: string; mode: number; uid: number; gid: number }
  /** `agent`: a socket below SOCKETS_FOLDER, which gets mode and owner */
  | { type: 'ssh'; target: string; agent: string; mode: number; uid: number; gid: number };

/** What a step of a build is run with. */
export interface GuestBuildStep {
  spec: Spec;
  /** topmost first */
  lower: LayerNumber[];
  mounts: GuestBuildMount[];
  /** of the step's own, by their paths in the container; what is written to them is thrown away */
  files: { path: string; content: string; mode: number; readOnly: boolean }[];
  /** the machine's network devices that the step has */
  interfaces: InterfaceSetup[];
}

export type Request =
  /** once, before anything else: makes the template a particular machine */
  | {
      type: 'configure';
      /** ms since the epoch */ realtime: number;
      /** base64, 64 bytes */ entropy: string;
      /** tags of virtio-fs devices, mounted at SHARES_FOLDER/<tag> */ shares: string[];
      /** small files (of /etc), put at FILES_FOLDER/<name> */ files: { name: string; /** base64 */ content: string }[];
      /** put at SOCKETS_FOLDER/<index> */ sockets: GuestSocket[];
      /** of a machine out of a template: disks that had no sectors in it, and how many bytes each gets */
      disks: { device: string; bytes: number }[];
    }
  /**
   * mounts the root (EROFS on `rootDevice` below ext4 on `writableDevice`) and prepares the container's first process
   * up to its exec. Bind mounts of the spec name their source below SHARES_FOLDER or FILES_FOLDER. The machine's
   * network devices that `interfaces` names go into the container's network namespace. `images`: disks (EROFS) of the
   * images that mounts of the spec name. `names`: the container has a name server, whose relay the agent opens.
   */
  | {
      type: 'create';
      spec: Spec;
      init: boolean;
      rootDevice: string;
      writableDevice: string;
      images: ImageDevice[];
      streams: ProcessStreams;
      columns?: number;
      rows?: number;
      interfaces: InterfaceSetup[];
      names?: StreamToken;
    }
  /**
   * of a machine that goes on as a copy of another container, before anything else: its processes are a container of
   * their own from here on. Time, randomness, host name and husk's own files become its; connections to other hosts are
   * reset, and the interfaces of the one copied get its addresses; `names` as in `create`
   */
  | {
      type: 'adopt';
      /** ms since the epoch */ realtime: number;
      /** base64, 64 bytes */ entropy: string;
      hostname?: string;
      /** as in `configure` */ files: { name: string; /** base64 */ content: string }[];
      interfaces: InterfaceSetup[];
      names?: StreamToken;
    }
  /** executes the command of the container created */
  | { type: 'start' }
  | {
      type: 'exec';
      process: ProcessNumber;
      spec: ProcessSpec;
      streams: ProcessStreams;
      columns?: number;
      rows?: number;
    }
  | {
      type: 'signal';
      process: ProcessNumber;
      signal: number;
      /** every process of the container */ all?: boolean;
      /** its process group */ group?: boolean;
    }
  | { type: 'resize'; process: ProcessNumber; columns: number; rows: number }
  | { type: 'pause' }
  | { type: 'unpause' }
  | { type: 'processes' }
  | { type: 'ps'; arguments: string[] }
  | { type: 'stats' }
  | { type: 'update'; resources: Resources }
  /** replies with the guest's time, ms since the epoch; with `shift` after its clock was moved by so many ms */
  | { type: 'clock'; shift?: number }
  /** nobody listens on the sockets any more: connecting to one is refused. What is connected goes on */
  | { type: 'close-sockets' }
  /** lets go of names and inodes of shared folders that nobody uses: the host keeps a descriptor for each */
  | { type: 'forget-names' }
  /** tells whoever watches in the guest; replies `{ watched }`: whether anybody watches anything of the shares */
  | { type: 'changes'; changes: FileChange[] }
  /** instead of `create`: mounts the root and the bind mounts, and makes no container; what is wanted are its files */
  | { type: 'open'; mounts: Mount[]; rootDevice: string; writableDevice: string; images: ImageDevice[] }
  /**
   * see FilesRequest: the answer's bytes go out on the stream `output`, a tar comes in on `input`; the reply comes when
   * all is done
   */
  | { type: 'files'; request: FilesRequest; output: StreamToken; input?: StreamToken }
  /** instead of `create`: mounts the disks for the steps of a build */
  | { type: 'build'; rootDevice: string; writableDevice: string }
  /** a tar without whiteouts comes in on `input`, and is a layer of this number from then on; the reply comes then */
  | { type: 'build-layer'; number: LayerNumber; input: StreamToken }
  /** starts a step, whose upper folder becomes the layer of this number; replies when its command is executed */
  | { type: 'build-run'; process: ProcessNumber; step: GuestBuildStep; streams: ProcessStreams }
  /** the layer of a step that has ended, as a tar on the stream `output`; replies when all is sent: BuildSealed */
  | { type: 'build-seal'; process: ProcessNumber; /** seconds since 1970 */ epoch?: number; output: StreamToken }
  /**
   * kills what runs, unmounts, syncs; the machine may be switched off afterwards. Replies with the bytes on the
   * writable disk
   */
  | { type: 'shutdown' }
  /**
   * as `shutdown`, of a machine that will be a template: it goes on, and as if it had had no container. Replies when
   * nothing in the guest has these disks any more, which are others then
   */
  | { type: 'forget'; devices: string[] };

export type Message =
  | { kind: 'request'; id: number; request: Request }
  | { kind: 'reply'; id: number; value?: unknown }
  | { kind: 'error'; id: number; message: string; exitCode?: number; errorKind?: ErrorKind }
  | { kind: 'notice'; notice: Notice };

/** What `build-seal` replies with. */
export interface BuildSealed {
  /** what no layer can have, one line each, at most MAX_LEFT_OUT and one more */
  leftOut: string[];
}

/** lines about what a step has made and no layer can have; how many more there are is one line */
export const MAX_LEFT_OUT = 10;

/** What the agent says unasked. */
export type Notice =
  | { type: 'ready'; version: number; kernel: string }
  | { type: 'exited'; process: ProcessNumber; code: number; signal?: number; oomKilled?: boolean };

/** Frames one message. @throws RangeError when it is over the bound of its kind */
export function encodeMessage(message: Message): Buffer {
  const body = Buffer.from(JSON.stringify(message), 'utf8');
  const most = message.kind === 'request' ? MAX_REQUEST : MAX_MESSAGE;
  if (body.length > most) throw new RangeError(`agent message of ${body.length} bytes, at most ${most} fit`);
  const frame = Buffer.allocUnsafe(4 + body.length);
  frame.writeUInt32LE(body.length, 0);
  body.copy(frame, 4);
  return frame;
}

/** bytes of a frame's length */
const FRAME_HEADER = 4;

/**
 * Cuts a byte stream into frames. Holds at most one frame, in one buffer: a frame that comes a byte at a time takes no
 * more memory than another.
 * @throws RangeError on a length the other side must not send
 */
export class MessageDecoder {
  readonly #most: number;
  #header = Buffer.alloc(FRAME_HEADER);
  #body: Buffer | undefined;
  /** bytes of the header, then of the body, that have come */
  #filled = 0;

  /** the bytes of a frame that has come in part: what another decoder must be given first, to go on in its place */
  get pending(): Uint8Array {
    const filled = (this.#body ?? this.#header).subarray(0, this.#filled);
    return this.#body === undefined ? Buffer.from(filled) : Buffer.concat([this.#header, filled]);
  }

  /** @param most bytes of a frame's body; a guest's are bounded more tightly than the host's */
  constructor(most: number = MAX_MESSAGE) {
    this.#most = most;
  }

  /** @returns the JSON values of all frames completed by `chunk`, unchecked: see checkFromGuest */
  push(chunk: Uint8Array): unknown[] {
    const values: unknown[] = [];
    for (let rest = chunk; rest.length > 0;) {
      const target = this.#body ?? this.#header;
      const taken = rest.subarray(0, target.length - this.#filled);
      target.set(taken, this.#filled);
      this.#filled += taken.length;
      rest = rest.subarray(taken.length);
      if (this.#filled < target.length) break;
      this.#filled = 0;
      if (this.#body === undefined) {
        const length = this.#header.readUInt32LE(0);
        if (length === 0 || length > this.#most)
          throw new RangeError(`agent message of ${length} bytes, 1 to ${this.#most} are allowed`);
        this.#body = Buffer.allocUnsafe(length);
      } else {
        const text = this.#body.toString('utf8');
        this.#body = undefined;
        values.push(JSON.parse(text));
      }
    }
    return values;
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isIndex = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
/** characters of the longest error text the host shows of an agent's */
const MAX_ERROR_TEXT = 4096;
/** A record's error is one line, and shown on terminals. */
const oneLine = (text: unknown): string =>
  typeof text === 'string' ? text.slice(0, MAX_ERROR_TEXT).replace(/\p{Cc}+/gu, ' ') : 'an error without a text';
/** what a guest may call its failure; anything else is `internal` */
const ERROR_KINDS: readonly ErrorKind[] = ['not-found', 'conflict', 'invalid', 'unsupported', 'corrupt', 'limit'];

/**
 * Checks what a guest sent, field by field, and copies only what is known. A guest's requests are refused: it has none
 * to make.
 * @throws TypeError naming what is wrong
 */
export function checkFromGuest(value: unknown): Exclude<Message, { kind: 'request' }> {
  if (!isObject(value)) throw new TypeError('agent message is not an object');
  if (value['kind'] === 'notice') return { kind: 'notice', notice: checkNotice(value['notice']) };
  if (!isIndex(value['id'])) throw new TypeError('agent reply without a request number');
  if (value['kind'] === 'reply') return { kind: 'reply', id: value['id'], value: value['value'] };
  if (value['kind'] === 'error') {
    const exitCode = value['exitCode'];
    const errorKind = ERROR_KINDS.find((kind) => kind === value['errorKind']);
    return {
      kind: 'error',
      id: value['id'],
      message: oneLine(value['message']),
      ...(isIndex(exitCode) && exitCode < 256 ? { exitCode } : {}),
      ...(errorKind ? { errorKind } : {}),
    };
  }
  throw new TypeError(`agent message of unknown kind ${JSON.stringify(value['kind'])?.slice(0, 40)}`);
}

function checkNotice(notice: unknown): Notice {
  if (!isObject(notice)) throw new TypeError('agent notice is not an object');
  if (notice['type'] === 'ready') {
    if (!isIndex(notice['version'])) throw new TypeError('agent notice "ready" without a version');
    return { type: 'ready', version: notice['version'], kernel: String(notice['kernel']).slice(0, 256) };
  }
  if (notice['type'] === 'exited') {
    const { process, code, signal } = notice;
    if (!isIndex(process) || !isIndex(code) || code > 255)
      throw new TypeError('agent notice "exited" without process or code');
    return {
      type: 'exited',
      process,
      code,
      ...(isIndex(signal) && signal <= 64 ? { signal } : {}),
      oomKilled: notice['oomKilled'] === true,
    };
  }
  throw new TypeError('agent notice of unknown type');
}
