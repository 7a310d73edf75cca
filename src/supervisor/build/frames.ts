/**
 * What a build and the monitor of its virtual machine say to each other over a socket: frames of u32 little-endian
 * bytes that follow, u8 kind, u32 little-endian id, content. The id is that of the request which the frame is about.
 * Parses and builds only. The monitor's guest is hostile, and a monitor may be taken over: the length is bounded, and
 * never more than one frame is buffered.
 */
import { HuskError } from '../../errors.ts';
import type { InterfaceSetup } from '../../agent-protocol.ts';
import type { BuildMachineConfig, MachineStep } from '../../vmm/build/machine.ts';
import type { VmSize } from '../../vmm/templates/shape.ts';

export const FRAME = {
  /** build: JSON, a MachineRequest */
  REQUEST: 1,
  /** monitor: JSON of what the request gives; its end */
  ANSWER: 2,
  /** monitor: JSON, a MachineFailure; its end. With id 0: the machine has ended */
  FAILURE: 3,
  /** of a tar, either way */
  DATA: 4,
  /** no more DATA comes */
  END: 5,
  /** monitor: what a step prints */
  STDOUT: 6,
  STDERR: 7,
} as const;

export type FrameKind = (typeof FRAME)[keyof typeof FRAME];
const KINDS: ReadonlySet<number> = new Set(Object.values(FRAME));

/** A request has one ANSWER or FAILURE. */
export type MachineRequest =
  /** once, before anything else */
  | { type: 'boot'; config: BuildMachineConfig; size: VmSize; interfaces: InterfaceSetup[] }
  /** DATA and END of the tar follow */
  | { type: 'layer'; number: number }
  /** STDOUT and STDERR come before the answer, a MachineExit */
  | { type: 'run'; number: number; step: MachineStep }
  | { type: 'signal'; number: number; signal: number }
  /** DATA and END of the tar come before the answer, lines about what is not in it */
  | { type: 'seal'; number: number; epoch?: number };

export interface MachineExit {
  code: number;
  signal?: number;
  oomKilled?: boolean;
}

export interface MachineFailure {
  message: string;
  kind: string;
  exitCode?: number;
  fix?: string;
}

const HEADER = 9;
/** bytes behind the length that are no content */
const ABOUT = 5;
/** bytes of a tar, or of output, in one frame */
const MAX_PIECE = 256 << 10;
/** bytes of a frame's content: of a request what the guest's agent takes, of the monitor's much less */
export const MAX_REQUEST_FRAME = 64 << 20;
export const MAX_MONITOR_FRAME = 1 << 20;

/** The pieces share memory with `content`. */
export function* frames(kind: FrameKind, id: number, content: Uint8Array): Generator<Buffer, void, void> {
  for (let at = 0; at === 0 || at < content.length; at += MAX_PIECE) {
    const piece = isPieces(kind) ? content.subarray(at, at + MAX_PIECE) : content;
    const header = Buffer.allocUnsafe(HEADER);
    header.writeUInt32LE(ABOUT + piece.length, 0);
    header.writeUInt8(kind, 4);
    header.writeUInt32LE(id, ABOUT);
    yield header;
    if (piece.length > 0) yield Buffer.from(piece.buffer, piece.byteOffset, piece.length);
    if (!isPieces(kind)) return;
  }
}

const isPieces = (kind: FrameKind): boolean => kind === FRAME.DATA || kind === FRAME.STDOUT || kind === FRAME.STDERR;

export interface Frame {
  kind: FrameKind;
  id: number;
  content: Buffer;
}

export class FrameReader {
  readonly #most: number;
  #header = Buffer.alloc(HEADER);
  #content: Buffer | undefined;
  #filled = 0;

  /** @param most bytes of a frame's content */
  constructor(most: number) {
    this.#most = most;
  }

  /** @throws HuskError `corrupt`; the reader is of no use afterwards */
  *push(chunk: Uint8Array): Generator<Frame, void, void> {
    for (let rest = chunk; rest.length > 0;) {
      const target = this.#content ?? this.#header;
      const taken = rest.subarray(0, target.length - this.#filled);
      target.set(taken, this.#filled);
      this.#filled += taken.length;
      rest = rest.subarray(taken.length);
      if (this.#filled < target.length) return;
      if (this.#content === undefined) {
        const length = this.#header.readUInt32LE(0);
        const kind = this.#header.readUInt8(4);
        if (length < ABOUT || length - ABOUT > this.#most || !KINDS.has(kind))
          throw new HuskError(`the monitor of a virtual machine sent a frame of kind ${kind} and ${length} bytes`, {
            kind: 'corrupt',
          });
        this.#content = Buffer.allocUnsafeSlow(length - ABOUT);
        this.#filled = 0;
        if (length > ABOUT) continue;
      }
      const content = this.#content;
      this.#content = undefined;
      this.#filled = 0;
      yield { kind: this.#header.readUInt8(4) as FrameKind, id: this.#header.readUInt32LE(ABOUT), content };
    }
  }
}
