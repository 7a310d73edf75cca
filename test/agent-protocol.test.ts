import test from 'ava';
import { checkFromGuest, encodeMessage, MAX_MESSAGE, MessageDecoder, type Message } from '../src/agent-protocol.ts';

const READY: Message = { kind: 'notice', notice: { type: 'ready', version: 1, kernel: '6.12.0-husk' } };
const EXITED: Message = {
  kind: 'notice',
  notice: { type: 'exited', process: 3, code: 137, signal: 9, oomKilled: true },
};
const REPLY: Message = { kind: 'reply', id: 7, value: { pid: 1 } };
const stream = Buffer.concat([READY, EXITED, REPLY].map(encodeMessage));

for (const size of [1, 2, 3, 5, 64, 4096]) {
  test(`frames cut into chunks of ${size} bytes decode to the same messages`, (t) => {
    const decoder = new MessageDecoder();
    const values: unknown[] = [];
    for (let at = 0; at < stream.length; at += size) values.push(...decoder.push(stream.subarray(at, at + size)));
    t.deepEqual(values, [READY, EXITED, REPLY]);
    t.deepEqual(
      values.map((value) => checkFromGuest(value)),
      [READY, EXITED, REPLY],
    );
  });
}

const length = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
for (const [attack, bytes] of [
  ['a frame of no bytes', length(0)],
  ['a frame over the bound', length(MAX_MESSAGE + 1)],
  ['a frame of 4 GiB', length(0xffff_ffff)],
] as const)
  test(`${attack} is refused before it is read`, (t) =>
    t.throws(() => new MessageDecoder().push(bytes), { instanceOf: RangeError }));

test('a frame that is not JSON is refused', (t) =>
  t.throws(() => new MessageDecoder().push(Buffer.concat([length(3), Buffer.from('{x}')])), {
    instanceOf: SyntaxError,
  }));

for (const [lie, value] of [
  ['a request', { kind: 'request', id: 1, request: { type: 'start' } }],
  ['an array', [1]],
  ['null', null],
  ['a reply without a number', { kind: 'reply' }],
  ['a reply with a negative number', { kind: 'reply', id: -1 }],
  ['an exit of a negative process', { kind: 'notice', notice: { type: 'exited', process: -1, code: 0 } }],
  ['an exit code above 255', { kind: 'notice', notice: { type: 'exited', process: 0, code: 256 } }],
  ['an unknown notice', { kind: 'notice', notice: { type: 'hello' } }],
] as const)
  test(`the guest says ${lie}: refused`, (t) => t.throws(() => checkFromGuest(value), { instanceOf: TypeError }));

test('an error text is cut, an absurd exit code dropped', (t) => {
  const checked = checkFromGuest({ kind: 'error', id: 1, message: 'x'.repeat(1e6), exitCode: 1e9 });
  t.true(checked.kind === 'error' && checked.message.length === 4096 && checked.exitCode === undefined);
});
