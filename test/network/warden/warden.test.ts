/**
 * What a machine's monitor may say to its warden, as one that was taken over says it: nothing but what the machine's
 * rules name is asked of anybody, and nothing but those addresses reaches the packet filter.
 */
import { once } from 'node:events';
import test, { type ExecutionContext } from 'ava';
import { NAME_FRAME } from '../../../src/agent-protocol.ts';
import { addressBytes } from '../../../src/host/streams/address-bytes.ts';
import { addressOfBytes } from '../../../src/network/names/address.ts';
import { Pace } from '../../../src/network/names/pace.ts';
import { encodeFrame, type Frame, FrameDecoder, HOST_SAYS } from '../../../src/network/names/relay-frames.ts';
import { A, answerTo, ASKED, query, record } from '../names/fake-resolver.ts';
import { asker, wardenOf } from './laboratory.ts';

const PUBLIC = '93.184.216.34';
const says =
  (...addresses: string[]) =>
  (bytes: Buffer) =>
    answerTo(bytes, {
      answers: addresses.map((text) => record({ owner: ASKED, type: A, data: Buffer.from(addressBytes(text)) })),
    });
const REFUSED = 5;
const NXDOMAIN = 3;
const code = ({ content }: Frame) => content[3]! & 0xf;

async function open(t: ExecutionContext, given: Parameters<typeof wardenOf>[0]) {
  const warden = await wardenOf(given);
  const { monitor, host } = asker(warden);
  t.teardown(() => {
    monitor.destroy();
    warden.close();
  });
  const heard: Frame[] = [];
  const decoder = new FrameDecoder(HOST_SAYS);
  monitor.on('data', (chunk: Buffer) => heard.push(...decoder.push(chunk)));
  const send = (name: string, number = 1) => monitor.write(encodeFrame(NAME_FRAME.QUERY_UDP, number, query(name, A)));
  const next = async () => {
    while (heard.length === 0) await once(monitor, 'data');
    return heard.shift()!;
  };
  const ask = (name: string) => {
    send(name);
    return next();
  };
  return { ...warden, monitor, host, send, next, ask, heard };
}

test('a name of a rule is asked, and let through before it is answered', async (t) => {
  const { ask, asked, kernel } = await open(t, { rules: ['example.com:443'], says: says(PUBLIC) });
  const answer = ask('example.com');
  t.deepEqual(kernel, []);
  t.is(addressOfBytes((await answer).content.subarray(-4)), PUBLIC);
  t.deepEqual(asked, ['example.com']);
  t.not(kernel.length, 0);
  for (const each of kernel) t.regex(each, /^(add to|remove from) set v\w+-0-names-ip \(inet husk\)$/);
});

for (const name of ['example.org', 'sub.example.com', 'secret.evil.net', 'web', 'me.front', 'localhost', 'x'])
  test(`a name that no rule means is asked of nobody, and told: ${name}`, async (t) => {
    const { ask, asked, kernel, refused } = await open(t, { rules: ['example.com:443', 'db'], says: says(PUBLIC) });
    t.is(code(await ask(name)), name === 'me.front' ? 0 : NXDOMAIN);
    t.deepEqual([asked, kernel], [[], []]);
    t.deepEqual(
      refused.next().map(({ destination }) => destination),
      name === 'me.front' ? [] : [name],
    );
  });

test('a neighbour of a rule has its address, and the others have none', async (t) => {
  const { ask, asked } = await open(t, { rules: ['db:5432'] });
  t.is(addressOfBytes((await ask('db')).content.subarray(-4)), '10.0.0.4');
  t.is(code(await ask('web')), NXDOMAIN);
  t.deepEqual(asked, []);
});

for (const inside of ['10.0.0.3', '127.0.0.1', '169.254.169.254', '192.168.7.7'])
  test(`an answer that leads inside lets nobody through: ${inside}`, async (t) => {
    const { ask, kernel } = await open(t, { rules: ['example.com'], says: says(inside) });
    t.is((await ask('example.com')).content.readUInt16BE(6), 0);
    t.deepEqual(kernel, []);
  });

for (const [what, bytes] of [
  ['a kind that nobody has', encodeFrame(99 as never, 1, query('example.com', A))],
  ['what only a host says', encodeFrame(NAME_FRAME.ASK_UDP, 1, query('example.com', A))],
  ['an answer of its own', encodeFrame(NAME_FRAME.ANSWER, 1, says(PUBLIC)(query('example.com', A)))],
  ['a frame that is too long', Buffer.from('ffffffff0100000001', 'hex')],
  ['a frame without a question', Buffer.from('000000000100000001', 'hex')],
] as const)
  test(`ends its questions, and changes nothing: ${what}`, async (t) => {
    const { monitor, host, kernel, asked, problems } = await open(t, { rules: ['example.com'], says: says(PUBLIC) });
    monitor.write(bytes);
    await once(host, 'close');
    t.deepEqual([kernel, asked, problems.length], [[], [], 1]);
  });

test('what it says that a resolver has answered is heard by nobody', async (t) => {
  const { monitor, ask, kernel } = await open(t, { rules: ['example.com'], says: says(PUBLIC) });
  const forged = says('93.184.216.99')(query('example.com', A));
  for (let number = 0; number < 4; number++) monitor.write(encodeFrame(NAME_FRAME.HEARD, number, forged));
  t.is(addressOfBytes((await ask('example.com')).content.subarray(-4)), PUBLIC);
  t.is(kernel.filter((each) => each.startsWith('remove')).length, 1);
});

test('so many questions at once are under way, and the next are refused', async (t) => {
  const pace = new Pace({ each: 1, burst: 1e6 });
  const { send, next, asked } = await open(t, { rules: ['*.example.com'], pace });
  for (let number = 0; number < 1100; number++) send(`n${number}.example.com`, number);
  const answers: Frame[] = [];
  while (answers.length < 76) answers.push(await next());
  t.true(answers.every((answer) => code(answer) === REFUSED));
  t.is(asked.length, 1024);
});

test('they are read at a pace, whoever floods', async (t) => {
  const pace = new Pace({ each: 20, burst: 5 });
  const { send, next } = await open(t, { rules: ['none'], pace });
  const start = performance.now();
  for (let number = 0; number < 9; number++) send('example.com', number);
  for (let number = 0; number < 9; number++) t.is(code(await next()), NXDOMAIN);
  // three behind the burst, and the one after it, each had to wait for a twentieth of a second
  t.true(performance.now() - start > 100);
});
