/**
 * An IoctlThread is a thread that repeats one blocking ioctl, with no JavaScript in it: for KVM_RUN.
 *
 * koffi's asynchronous calls would not do: libuv's pool gives each call to another thread, and before Linux 6.13 a vCPU
 * that changes threads waits for an RCU grace period (synchronize_rcu in kvm_vcpu_ioctl), which is milliseconds for
 * every exit. Workers would cost 10 MB and 35 ms of CPU each. The thread makes only four different system calls, so it
 * consists of the 26 instructions below. After each ioctl it signals `done`, and waits for `go`.
 *
 * Safety: the code is a constant, written into a page of its own that is then made executable and read-only; it touches
 * only the block whose address it is given, which lives until the thread has been joined.
 */
import { EventFd } from '../streams/eventfd.ts';
import { checked, libraryFunction, SyscallError } from '../libc.ts';
import { systemCall } from '../system-call.ts';
import { Mapping, PAGE_SIZE } from '../memory/mapping.ts';

const mprotect = systemCall<(address: number, length: number, protection: number) => number>(
  'int mprotect(int64_t address, size_t length, int protection)',
);
const pthread_create = libraryFunction<
  (thread: BigUint64Array, attributes: null, start: number, argument: number) => number
>('int pthread_create(void *thread, void *attributes, int64_t start, int64_t argument)');
const pthread_join = libraryFunction<(thread: bigint, result: null) => number>(
  'int pthread_join(uint64_t thread, void *result)',
);
const tgkill = systemCall<(process: number, thread: number, signal: number) => number>(
  'int tgkill(int process, int thread, int signal)',
);

const PROT_READ_EXEC = 5;

/** The block consists of 64-bit words; these are offsets in bytes. */
const FD = 0;
const DONE = 8;
const GO = 16;
const THREAD = 24;
const RESULT = 32;
const STOP = 40;
const ONE = 48;
const SCRATCH = 56;
const REQUEST = 64;
const BLOCK_SIZE = 72;

/**
 * x86-64 machine code (Intel SDM vol. 2); rbx is the block's address, which pthread_create passes in rdi. System call
 * numbers are those of syscall_64.tbl.
 */
const START = [
  [0x53], //                                   push rbx
  [0x48, 0x89, 0xfb], //                       mov rbx, rdi
  [0xb8, 186, 0, 0, 0], //                     mov eax, gettid
  [0x0f, 0x05], //                             syscall
  [0x48, 0x89, 0x43, THREAD], //               mov [rbx + THREAD], rax
].flat();
const ENTER = [
  [0xb8, 16, 0, 0, 0], //                      mov eax, ioctl
  [0x48, 0x8b, 0x7b, FD], //                   mov rdi, [rbx + FD]
  [0x48, 0x8b, 0x73, REQUEST], //              mov rsi, [rbx + REQUEST]
  [0x31, 0xd2], //                             xor edx, edx
  [0x0f, 0x05], //                             syscall
  [0x48, 0x89, 0x43, RESULT], //               mov [rbx + RESULT], rax      -errno when it failed
  [0xb8, 1, 0, 0, 0], //                       mov eax, write
  [0x48, 0x8b, 0x7b, DONE], //                 mov rdi, [rbx + DONE]
  [0x48, 0x8d, 0x73, ONE], //                  lea rsi, [rbx + ONE]
  [0xba, 8, 0, 0, 0], //                       mov edx, 8
  [0x0f, 0x05], //                             syscall
].flat();
const WAIT = [
  [0x31, 0xc0], //                             xor eax, eax                 read
  [0x48, 0x8b, 0x7b, GO], //                   mov rdi, [rbx + GO]
  [0x48, 0x8d, 0x73, SCRATCH], //              lea rsi, [rbx + SCRATCH]
  [0xba, 8, 0, 0, 0], //                       mov edx, 8
  [0x0f, 0x05], //                             syscall
  [0x48, 0x83, 0xf8, 0xfc], //                 cmp rax, -EINTR
].flat();
const backTo = (distance: number) => (0x100 - distance) & 0xff;
const AFTER_WAIT = [
  [0x74, backTo(WAIT.length + 2)], //          je WAIT
  [0x48, 0x83, 0x7b, STOP, 0], //              cmp qword [rbx + STOP], 0
].flat();
const END = [
  [0x74, backTo(ENTER.length + WAIT.length + AFTER_WAIT.length + 2)], // je ENTER
  [0x31, 0xc0], //                             xor eax, eax
  [0x5b], //                                   pop rbx
  [0xc3], //                                   ret
].flat();
const CODE = Uint8Array.from([...START, ...ENTER, ...WAIT, ...AFTER_WAIT, ...END]);

/** All threads share one page, which is never unmapped. */
let code: Mapping | undefined;

function codeAddress(): number {
  if (code === undefined) {
    const page = Mapping.anonymous(PAGE_SIZE);
    new Uint8Array(page.buffer).set(CODE);
    checked(mprotect(page.address, PAGE_SIZE, PROT_READ_EXEC), 'mprotect');
    code = page;
  }
  return code.address;
}

export class IoctlThread implements Disposable {
  /** becomes readable after each call; the reader must drain it */
  readonly done = new EventFd();
  readonly #go = new EventFd({ blocking: true });
  readonly #page = Mapping.anonymous(PAGE_SIZE);
  readonly #words = new BigInt64Array(this.#page.buffer, 0, BLOCK_SIZE / 8);
  readonly #thread = new BigUint64Array(1);

  /** Starts the thread, which makes its first call at once. @throws SyscallError */
  constructor(fd: number, request: number) {
    this.#words[FD / 8] = BigInt(fd);
    this.#words[DONE / 8] = BigInt(this.done.fd);
    this.#words[GO / 8] = BigInt(this.#go.fd);
    this.#words[ONE / 8] = 1n;
    this.#words[REQUEST / 8] = BigInt(request);
    const errno = pthread_create(this.#thread, null, codeAddress(), this.#page.address);
    if (errno !== 0) throw new SyscallError('pthread_create', errno);
  }

  /** result of the last call: 0 or more, or -errno; valid only between `done` and `go` */
  get result(): number {
    return Number(this.#words[RESULT / 8]);
  }

  /** Makes the next call, which is allowed only after `done`. */
  go(): void {
    this.#go.signal();
  }

  /** Sends a signal to the thread, if the thread has begun. */
  interrupt(signal: number): void {
    const thread = Number(Atomics.load(this.#words, THREAD / 8));
    if (thread !== 0) tgkill(process.pid, thread, signal);
  }

  /** Ends the thread and waits for its end. Before `done` this waits for the current call too. */
  [Symbol.dispose](): void {
    Atomics.store(this.#words, STOP / 8, 1n);
    this.#go.signal();
    pthread_join(this.#thread[0]!, null);
    this.#page[Symbol.dispose]();
    this.#go[Symbol.dispose]();
    this.done[Symbol.dispose]();
  }
}
