/**
 * Any bytes from a machine's monitor: the warden asks and lets through what rules name, and nothing else, at no
 * cost.
 */
import test from 'ava';
import { NAME_FRAME } from '../../../src/agent-protocol.ts';
import { encodeFrame, type Frame, FrameDecoder, HOST_SAYS } from '../../../src/network/names/relay-frames.ts';
import { Pace } from '../../../src/network/names/pace.ts';
import { A, answerTo, ASKED, query, record } from '../names/fake-resolver.ts';
import { noise, one, random, rounds, SEED, someAnswer, someQuery, spoiled } from '../names/fuzz.ts';
import { asker, wardenOf } from './laboratory.ts';

/** `web` is a neighbour */
const RULES = ['*.example:443', 'web', '10.9.0.0/16'];

const honest = (bytes: Buffer) =>
  answerTo(bytes, { answers: [record({ owner: ASKED, type: A, data: Buffer.of(93, 184, 216, 34) })] });

test.serial(`a monitor may say anything (seed ${SEED})`, async (t) => {
  const pick = random(SEED);
  const warden = await wardenOf({
    rules: RULES,
    says: (bytes) => spoiled(pick, pick(2) === 0 ? honest(bytes) : someAnswer(pick, bytes)),
    pace: new Pace({ each: 1e9, burst: 1e9 }),
  });
  t.teardown(() => warden.close());
  let answered = 0;
  let asked = 0;
  let pinned = 0;
  const wrong = await rounds(async () => {
    const { monitor, host } = asker(warden);
    const decoder = new FrameDecoder(HOST_SAYS);
    const heard: Frame[] = [];
    monitor.on('data', (chunk: Buffer) => heard.push(...decoder.push(chunk)));
    const frames = Array.from({ length: 1 + pick(8) }, () => {
      const allowed = query(`${one(pick, ['x', 'y', 'z.a'])}.example`, one(pick, [1, 28, 255]));
      const content = one(pick, [allowed, spoiled(pick, someQuery(pick)), spoiled(pick, allowed), noise(pick, 20)]);
      return encodeFrame(one(pick, [1, 1, 2, 2, ...Object.values(NAME_FRAME)]), pick(4), content);
    });
    monitor.write(one(pick, [Buffer.concat(frames), spoiled(pick, Buffer.concat(frames))]));
    // what is answered at once, and what a resolver has answered
    for (let turns = 0; turns < 4; turns++) await new Promise((turn) => setImmediate(turn));
    monitor.end();
    await new Promise((closed) => (host.closed ? closed(undefined) : host.on('close', closed)));
    answered += heard.length;
    asked += warden.asked.length;
    const stranger = warden.asked.splice(0).find((name) => !name.endsWith('.example'));
    if (stranger !== undefined) return `asked for ${stranger}`;
    const kernel = warden.kernel.splice(0);
    pinned += kernel.length;
    return kernel.find((each) => !/^(add to|remove from) set v\w+-0-names-ip6? \(inet husk\)$/.test(each));
  });
  t.is(wrong, undefined);
  t.true(answered > 0 && asked > 0 && pinned > 0);
});
