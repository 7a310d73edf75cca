/**
 * A machine's warden as a process, without a machine: this process writes and reads the frames of taps, stands for the
 * monitor that asks for names, and is the resolver; another one is who the monitor is by its pid.
 */
import { mkdirSync, readFileSync } from 'node:fs';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { duplexPair } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { NAME_FRAME } from '../../../src/agent-protocol.ts';
import { macBytes } from '../../../src/host/streams/address-bytes.ts';
import { DescriptorStream } from '../../../src/host/streams/descriptor-stream.ts';
import { writePacket } from '../../../src/host/streams/packet-fd.ts';
import { receive } from '../../../src/host/streams/socket.ts';
import { ContainerEgress } from '../../../src/network/attach/container-egress.ts';
import { openNetworkLog } from '../../../src/network/attach/egress-log.ts';
import type { MachinePlace } from '../../../src/network/attach/machine.ts';
import { RefusalReader } from '../../../src/network/egress/refusals.ts';
import { egressPorts } from '../../../src/network/egress/removal.ts';
import { addressOfBytes } from '../../../src/network/names/address.ts';
import { encodeFrame, type Frame, FrameDecoder, HOST_SAYS } from '../../../src/network/names/relay-frames.ts';
import { askWardens, Questions } from '../../../src/network/warden/questions.ts';
import { startWarden } from '../../../src/network/warden/start.ts';
import { machineProblem } from '../../../src/network/way-out.ts';
import { paths as computePaths } from '../../../src/paths.ts';
import { identify, isAlive } from '../../../src/state/process-identity.ts';
import { heard, keepersHaveEnded, laboratory, monitor, partOf, PATIENCE, until } from '../attach/machine-lab.ts';
import { tcp } from '../egress/laboratory.ts';
import { A, answerTo, ASKED, query, record } from '../names/fake-resolver.ts';

const missing = machineProblem([]);
const real = missing ? test.skip : test.serial;
const title = missing ? ` (${missing.message})` : '';
test.after.always('no keeper is left', keepersHaveEnded);
/** port 53 of a loopback address is root's */
const named = process.getuid!() === 0 ? real : test.skip;
const RESOLVER = '127.77.0.53';

const SYN = 0x02;
const REFUSED = 5;
const NXDOMAIN = 3;

/** A machine with rules, its warden, and who stands for its monitor. */
async function guarded(
  t: ExecutionContext,
  lab: ReturnType<typeof laboratory>,
  { number, on, rules, isHostile = false }: { number: number; on: string[]; rules: string[]; isHostile?: boolean },
) {
  const { dataRoot, database, problems } = lab;
  const containerId = String(number).padStart(64, '0');
  const folder = computePaths({ dataRoot }).container(containerId);
  mkdirSync(folder, { recursive: true });
  const problem = (text: string) => void problems.push(text);
  const egress = new ContainerEgress({ containerId, rules, database, folder, openLog: openNetworkLog, problem });
  const place = await lab.place(number, on, { egress });
  const { places } = place;
  const names = { resolvers: [RESOLVER], ndotsSet: false };
  const warden = await startWarden({ containerId, dataRoot, rules, ...names, places, egress });
  const tender = identify(warden.pid)!;
  t.teardown(() => [tender.pid, ...childrenOf(tender.pid)].forEach(kill));
  await warden.ready;
  const current = () => childrenOf(tender.pid).map((pid) => identify(pid)!)[0];
  const guard = await monitor(place);
  t.teardown(async () => {
    guard.kill();
    await guard.exited;
  });
  const control = warden.questions.move();
  warden.passOn(identify(guard.pid)!);
  const failed = (error: unknown) => t.fail(String(error));
  const questions = isHostile ? new Questions(failed) : askWardens(control, failed);
  const asks = async (name: string): Promise<Buffer> => {
    const [guest, host] = duplexPair();
    questions.serve(host);
    const decoder = new FrameDecoder(HOST_SAYS);
    const frames: Frame[] = [];
    guest.on('data', (chunk: Buffer) => frames.push(...decoder.push(chunk)));
    guest.write(encodeFrame(NAME_FRAME.QUERY_UDP, 1, query(name, A)));
    while (frames.length === 0) await once(guest, 'data');
    guest.destroy();
    return frames[0]!.content;
  };
  return { place, tender, current, guard, control, questions, asks, reader: new RefusalReader(folder) };
}

/** A machine with rules and its warden, as the command that starts it has them before there is a monitor. */
async function unguarded(
  { dataRoot, database, place: make, problems }: ReturnType<typeof laboratory>,
  rules: string[],
) {
  const containerId = '3'.padStart(64, '0');
  const options = { containerId, rules, database, folder: dataRoot, openLog: openNetworkLog };
  const egress = new ContainerEgress({ ...options, problem: (text) => void problems.push(text) });
  const place = await make(3, ['mine'], { egress });
  const names = { resolvers: [], ndotsSet: false };
  const warden = await startWarden({ containerId, dataRoot, rules, ...names, places: place.places, egress });
  return { warden, place };
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it has ended
  }
}

/** The warden of a process that tends one, while there is one. */
function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ').filter(Boolean).map(Number);
  } catch {
    return []; // it has ended
  }
}

const code = (answer: Buffer) => answer[3]! & 0xf;

function send(
  from: MachinePlace,
  to: MachinePlace,
  port: number,
  { flags, text }: { flags: number; text: string },
): void {
  const [own, their] = [partOf(from), partOf(to)];
  const head = Buffer.concat([macBytes(their.mac), macBytes(own.mac), Buffer.of(8, 0)]);
  writePacket(from.links[0]!.number, Buffer.concat([head, tcp(own.address, their.address, port, flags, text)]));
}

const knock = (from: MachinePlace, to: MachinePlace, port: number) =>
  send(from, to, port, { flags: SYN, text: '#syn#' });

/** Which of some ports a SYN reaches a neighbour at, now or since it was asked last. */
async function reached(from: MachinePlace, to: MachinePlace, ports: readonly number[]): Promise<number[]> {
  for (const port of ports) knock(from, to, port);
  // no opening: it passes whatever rules say, and comes after all others
  send(from, to, 9, { flags: 0x10, text: '#end#' });
  const came: number[] = [];
  await heard(to.links[0]!, (frame) => {
    if (frame.includes('#syn#')) came.push(frame.readUInt16BE(36));
    return frame.includes('#end#');
  });
  return came;
}

real(`neighbours by name as they come and go, and what is refused is told${title}`, async (t) => {
  t.timeout(PATIENCE * 5);
  const lab = laboratory();
  lab.networks.create({ name: 'mine', ipam: [{ subnet: '10.82.0.0/24' }] });
  const db = await lab.place(1, ['mine']);
  using other = await lab.place(2, ['mine']);
  const rules = ['m1:5432', 'm4:80/tcp', '192.0.2.0/24'];
  const { place, asks, reader, guard, tender, current } = await guarded(t, lab, { number: 3, on: ['mine'], rules });
  t.deepEqual(await reached(place, db, [80, 5432]), [5432]);
  t.deepEqual(await reached(place, other, [80, 5432]), []);
  t.deepEqual([code(await asks('m1')), code(await asks('m2'))], [0, NXDOMAIN]);
  t.is(addressOfBytes((await asks('m1')).subarray(-4)), partOf(db).address);
  const told: string[] = [];
  const line = `${partOf(other).address}:80 mine no rule allows it`;
  t.true(
    await until(() => {
      for (const { destination, port, network, reason } of reader.next())
        told.push(`${destination}:${port} ${network} ${reason}`);
      return told.includes(line);
    }),
  );
  // who has its address next is not who the rule means
  db[Symbol.dispose]();
  using evil = await lab.place(5, ['mine']);
  t.is(partOf(evil).address, partOf(db).address);
  let last: number[] = [];
  for (const start = Date.now(); Date.now() - start < PATIENCE;)
    if ((last = await reached(place, evil, [5432])).length === 0) break;
  t.deepEqual(last, []);
  using late = await lab.place(4, ['mine']);
  t.is(code(await asks('m4')), 0);
  t.deepEqual(await reached(place, late, [80, 5432]), [80]);
  const { nftables } = late.places[0]!.active.sockets;
  t.is(egressPorts(nftables).length, 1);
  const warden = current()!;
  guard.kill();
  t.true(await until(() => !isAlive(warden) && !isAlive(tender)));
  t.deepEqual(egressPorts(nftables), []);
  t.deepEqual(lab.problems, []);
  place[Symbol.dispose]();
});

real(`kill -9 of it, many times: another one goes on, and nothing is open meanwhile${title}`, async (t) => {
  t.timeout(PATIENCE * 5);
  const lab = laboratory();
  lab.networks.create({ name: 'mine', ipam: [{ subnet: '10.83.0.0/24' }] });
  using db = await lab.place(1, ['mine']);
  using other = await lab.place(2, ['mine']);
  const rules = ['m1:5432', 'm4:80/tcp'];
  const { place, asks, reader, current, tender, guard } = await guarded(t, lab, { number: 3, on: ['mine'], rules });
  const mended = async () => {
    for (const start = Date.now(); Date.now() - start < PATIENCE;) {
      const said = code(await asks('m1'));
      // what is refused while rules are made again is lost, and the last word of `reached` is not to be
      for (const [to, port] of [
        [db, 80],
        [other, 80],
        [other, 5432],
      ] as const)
        knock(place, to, port);
      if (said === 0) return true;
      t.is(said, REFUSED);
      await sleep(20);
    }
    return false;
  };
  for (let round = 0; round < 3; round++) {
    t.true(await until(() => current() !== undefined));
    const killed = current()!;
    kill(killed.pid);
    t.true(await until(() => !isAlive(killed)));
    t.true(await mended());
    t.not(current()!.pid, killed.pid);
    t.deepEqual(await reached(place, db, [80, 5432]), [5432]);
    t.deepEqual(await reached(place, other, [80, 5432]), []);
  }
  t.is(code(await asks('m2')), NXDOMAIN);
  // the last one tells what is refused, and follows neighbours
  using late = await lab.place(4, ['mine']);
  t.is(code(await asks('m4')), 0);
  t.deepEqual(await reached(place, late, [80, 5432]), [80]);
  const told = new Set<string>();
  t.true(
    await until(() => {
      for (const { destination, port } of reader.next()) told.add(`${destination}:${port}`);
      return told.has(`${partOf(other).address}:80`);
    }),
  );
  const last = current()!;
  guard.kill();
  t.true(await until(() => !isAlive(last) && !isAlive(tender)));
  t.deepEqual(egressPorts(late.places[0]!.active.sockets.nftables), []);
  place[Symbol.dispose]();
});

real(`kill -9 of who tends it: it serves on, and ends with the monitor${title}`, async (t) => {
  t.timeout(PATIENCE * 5);
  const lab = laboratory();
  lab.networks.create({ name: 'mine', ipam: [{ subnet: '10.87.0.0/24' }] });
  using db = await lab.place(1, ['mine']);
  const { place, asks, current, tender, guard } = await guarded(t, lab, { number: 3, on: ['mine'], rules: ['m1:1'] });
  t.is(code(await asks('m1')), 0);
  const warden = current()!;
  t.teardown(() => kill(warden.pid));
  kill(tender.pid);
  t.true(await until(() => !isAlive(tender)));
  t.is(code(await asks('m1')), 0);
  guard.kill();
  t.true(await until(() => !isAlive(warden)));
  t.deepEqual(egressPorts(db.places[0]!.active.sockets.nftables), []);
  place[Symbol.dispose]();
});

real(`kill -9 of both: rules stay as they are, and names are refused until the next start${title}`, async (t) => {
  t.timeout(PATIENCE * 5);
  const lab = laboratory();
  lab.networks.create({ name: 'mine', ipam: [{ subnet: '10.88.0.0/24' }] });
  using db = await lab.place(1, ['mine']);
  const given = { number: 3, on: ['mine'], rules: ['m1:5432'] };
  const { place, asks, current, tender, guard } = await guarded(t, lab, given);
  t.is(code(await asks('m1')), 0);
  const warden = current()!;
  for (const { pid } of [tender, warden]) kill(pid);
  t.true(await until(() => !isAlive(tender) && !isAlive(warden)));
  for (const name of ['m1', 'm2', 'example.com']) t.is(code(await asks(name)), REFUSED);
  t.deepEqual(await reached(place, db, [80, 5432]), [5432]);
  place.passOn(identify(guard.pid)!);
  place[Symbol.dispose]();
  guard.kill();
  await guard.exited;
  // nobody took its rules away, and nobody has its place: who opens the network next sees to it
  const { nftables } = db.places[0]!.active.sockets;
  const before = egressPorts(nftables);
  const next = await guarded(t, lab, given);
  t.is(code(await next.asks('m1')), 0);
  t.deepEqual(await reached(next.place, db, [80, 5432]), [5432]);
  const after = egressPorts(nftables);
  t.deepEqual([before.length, after.length], [1, 1]);
  t.notDeepEqual(before, after);
  next.place[Symbol.dispose]();
});

real(`kill -9 of who tends it before the monitor is known: the rules stay${title}`, async (t) => {
  t.timeout(PATIENCE * 5);
  const lab = laboratory();
  lab.networks.create({ name: 'mine', ipam: [{ subnet: '10.89.0.0/24' }] });
  using witness = await lab.place(1, ['mine']);
  const { warden, place } = await unguarded(lab, ['none']);
  await warden.ready;
  const own = identify(childrenOf(warden.pid)[0]!)!;
  kill(warden.pid);
  t.true(await until(() => !isAlive(own)));
  t.is(egressPorts(witness.places[0]!.active.sockets.nftables).length, 1);
  warden[Symbol.dispose]();
  place[Symbol.dispose]();
});

real(`a monitor that breaks the protocol loses its names, and no rule of its machine${title}`, async (t) => {
  t.timeout(PATIENCE * 5);
  const lab = laboratory();
  lab.networks.create({ name: 'mine', ipam: [{ subnet: '10.84.0.0/24' }] });
  using db = await lab.place(1, ['mine']);
  const given = { number: 3, on: ['mine'], rules: ['m1:5432'], isHostile: true };
  const { place, asks, control, questions, current } = await guarded(t, lab, given);
  const stream = new DescriptorStream(receive(control.number)!.fds[0]!);
  const closed = once(stream, 'close');
  questions.ask(stream);
  stream.write(Buffer.alloc(4096, 0xff));
  await closed;
  t.is(code(await asks('m1')), REFUSED);
  t.deepEqual(await reached(place, db, [80, 5432]), [5432]);
  t.true(isAlive(current()!));
  place[Symbol.dispose]();
});

real(`a command that fails before the machine runs leaves neither warden nor rules${title}`, async (t) => {
  t.timeout(PATIENCE * 5);
  const lab = laboratory();
  lab.networks.create({ name: 'mine', ipam: [{ subnet: '10.85.0.0/24' }] });
  using witness = await lab.place(1, ['mine']);
  const { warden, place } = await unguarded(lab, ['none']);
  await warden.ready;
  const { nftables } = witness.places[0]!.active.sockets;
  t.is(egressPorts(nftables).length, 1);
  const both = [warden.pid, ...childrenOf(warden.pid)].map((pid) => identify(pid)!);
  t.is(both.length, 2);
  warden[Symbol.dispose]();
  place[Symbol.dispose]();
  t.deepEqual(egressPorts(nftables), []);
  t.true(await until(() => !both.some(isAlive)));
});

named(`names of rules are asked of the host’s resolver, and no others${title}`, async (t) => {
  t.timeout(PATIENCE * 5);
  const asked: string[] = [];
  const server = createSocket('udp4', (bytes, from) => {
    asked.push(bytes.subarray(12).toString('latin1'));
    const data = Buffer.of(93, 184, 216, 34);
    const answer = answerTo(bytes, { answers: [record({ owner: ASKED, type: A, data })] });
    server.send(answer, from.port, from.address);
  });
  server.bind(53, RESOLVER);
  await once(server, 'listening');
  t.teardown(() => server.close());
  const lab = laboratory();
  lab.networks.create({ name: 'mine', ipam: [{ subnet: '10.86.0.0/24' }] });
  const rules = ['example.com:443', '*.example.org'];
  const { place, asks, reader } = await guarded(t, lab, { number: 3, on: ['mine'], rules });
  t.is(addressOfBytes((await asks('example.com')).subarray(-4)), '93.184.216.34');
  t.is(code(await asks('www.example.org')), 0);
  for (const name of ['example.org', 'secret.evil.net', 'single']) t.is(code(await asks(name)), NXDOMAIN);
  t.is(asked.length, 2);
  t.deepEqual(
    reader.next().map(({ destination, reason }) => `${destination} ${reason}`),
    ['example.org no rule names it', 'secret.evil.net no rule names it', 'single no rule names it'],
  );
  place[Symbol.dispose]();
});
