/**
 * Messages as nobody honest writes them, the same ones for the same seed, for tests that feed them to whatever reads
 * any. HUSK_FUZZ_SECONDS lengthens a run, HUSK_FUZZ_SEED repeats it. Not a test itself.
 */
import { HEADER, readName, readRecord } from '../../../src/network/names/message.ts';
import { A, AAAA, answerTo, ASKED, CNAME, MX, name, opt, PTR, query, record, TXT } from './fake-resolver.ts';

const SECONDS = Number(process.env['HUSK_FUZZ_SECONDS'] ?? 1);
export const SEED = Number(process.env['HUSK_FUZZ_SEED'] ?? Date.now() % 2 ** 31);
/** milliseconds of CPU time that one message may take: small beside "for ever" */
const LIMIT = 500;

/** xorshift32: the same run for the same seed */
export function random(seed: number): (below: number) => number {
  let state = seed | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

type Pick = ReturnType<typeof random>;

export const one = <T>(pick: Pick, of: readonly T[]): T => of[pick(of.length)]!;

const NAMES_ASKED = [
  'web',
  'pool',
  'many',
  'six',
  'x',
  'x.example',
  'web.front',
  '2.0.18.172.in-addr.arpa',
  'mysql',
  '',
];
const TYPES = [A, AAAA, MX, PTR, TXT, CNAME, 41, 255, 65, 0];

export function someQuery(pick: Pick): Buffer {
  const additional = [[], [], [opt(pick(65_536))], [opt(1232, pick(3), noise(pick, 40))], [opt(512), opt(512)]];
  return query(one(pick, NAMES_ASKED), one(pick, TYPES), {
    id: pick(65_536),
    flags: one(pick, [0x0100, 0, 0x0110, pick(65_536)]),
    class: one(pick, [1, 1, 1, 3, 255]),
    additional: one(pick, additional),
  });
}

export function someName(pick: Pick): Buffer {
  return one(pick, [
    ASKED,
    ASKED,
    name('y.example'),
    Buffer.of(0xc0, pick(256)),
    Buffer.of(0xff, 0xff),
    name('web'),
    noise(pick, 8),
  ]);
}

export function someAnswer(pick: Pick, asked: Buffer): Buffer {
  const some = () =>
    record({
      owner: someName(pick),
      type: one(pick, TYPES),
      ttl: one(pick, [0, 1, 300, 2 ** 31, 2 ** 32 - 1]),
      class: one(pick, [1, 1, 1, 3]),
      data: one(pick, [Buffer.alloc(4, pick(256)), Buffer.alloc(16, pick(256)), someName(pick), noise(pick, 30)]),
    });
  const several = () => Array.from({ length: pick(5) }, some);
  return answerTo(asked, {
    flags: one(pick, [0x8180, 0x8180, 0x8183, 0x8380, pick(65_536)]),
    answers: several(),
    authority: several(),
    additional: several(),
  });
}

export const noise = (pick: Pick, most: number) => Buffer.from(Array.from({ length: pick(most + 1) }, () => pick(256)));

/** Bits turned, bytes set, cut off, put in, put twice. */
export function spoiled(pick: Pick, bytes: Buffer): Buffer {
  let copy = Buffer.from(bytes);
  for (let count = pick(4); count > 0 && copy.length > 0; count--) {
    const at = pick(copy.length);
    switch (pick(6)) {
      case 0:
        copy[at]! ^= 1 << pick(8);
        break;
      case 1:
        copy[at] = one(pick, [0, 0xc0, 0xff, 63, 64, pick(256)]);
        break;
      case 2:
        copy = copy.subarray(0, at);
        break;
      case 3:
        copy = Buffer.concat([copy.subarray(0, at), noise(pick, 20), copy.subarray(at)]);
        break;
      case 4:
        copy = Buffer.concat([copy, copy.subarray(at)]);
        break;
      default:
        if (at + 2 <= copy.length) copy.writeUInt16BE(one(pick, [0, 1, 0xffff, 0xc00c, pick(65_536)]), at);
    }
  }
  return copy;
}

/** Whether it is a message from its first to its last byte. @returns what is wrong with it */
export function flaw(message: Buffer, asked: Buffer, most: number): string | undefined {
  if (message.length > most) return `${message.length} bytes`;
  if (message.length < HEADER || message.readUInt16BE(0) !== asked.readUInt16BE(0)) return 'not its id';
  if ((message[2]! & 0x80) === 0) return 'no answer';
  let at = HEADER;
  for (let count = message.readUInt16BE(4); count > 0; count--) {
    const end = readName(message, at)?.end;
    if (end === undefined) return 'no question';
    at = end + 4;
  }
  for (let count = message.readUInt16BE(6) + message.readUInt16BE(8) + message.readUInt16BE(10); count > 0; count--) {
    const end = readRecord(message, at)?.end;
    if (end === undefined) return 'a record that is none';
    at = end;
  }
  return at === message.length ? undefined : `${message.length - at} bytes too many`;
}

/** Until the time is over; each round in little CPU time. */
export async function rounds(round: () => unknown): Promise<string | undefined> {
  const end = performance.now() + SECONDS * 1000;
  let count = 0;
  while (performance.now() < end || count < 100) {
    const before = process.cpuUsage();
    const wrong = await round();
    const { user, system } = process.cpuUsage(before);
    if (typeof wrong === 'string') return wrong;
    if ((user + system) / 1000 > LIMIT) return `${(user + system) / 1000} ms`;
    count++;
  }
  return undefined;
}
