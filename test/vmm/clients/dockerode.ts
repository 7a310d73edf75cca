/** dockerode over a container on a terminal, its execs, its figures and its files: everything it was told. */
import { once } from 'node:events';
import { PassThrough, type Duplex, type Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import Docker from 'dockerode';
import { tarball } from '../../fixtures/tar.ts';

/** Says its size when that changes, and each line; `end` ends it. A signal interrupts the shell's read(2). */
const TALK = `trap 'stty size' WINCH; echo ready
while :; do read -r line || continue; echo "got $line"; [ "$line" != end ] || exit 5; done`;
/** Says its new size and ends. */
const SIZE = "trap 'stty size; exit 6' WINCH; echo ready; sleep 1000 & wait";
/** ms between two looks at an exec that ends by itself */
const LOOK = 100;

/** @returns what agrees between the isolations, by name; and the pid of an exec, which does not */
export async function driveDockerode(socketPath: string): Promise<{ told: Record<string, unknown>; pid: number }> {
  const docker = new Docker({ socketPath });
  const told: Record<string, unknown> = {};
  const container = await docker.createContainer({
    name: 'talk',
    Image: 'box',
    Cmd: ['sh', '-c', TALK],
    Tty: true,
    OpenStdin: true,
    HostConfig: { NetworkMode: 'none' },
  });
  const terminal = new Heard(
    (await container.attach({ stream: true, stdin: true, stdout: true, stderr: true, hijack: true })) as Duplex,
  );
  await container.start();
  await terminal.until('ready');
  await container.resize({ h: 33, w: 77 });
  told['size'] = await terminal.until(/\d+ \d+\r\n/);
  terminal.stream.write('hello\n');
  told['line'] = await terminal.until('got hello');

  const sized = await container.exec({ Cmd: ['sh', '-c', SIZE], Tty: true, AttachStdout: true, AttachStderr: true });
  const session = new Heard(await sized.start({ hijack: true, stdin: false, Tty: true }));
  await session.until('ready');
  const { Pid: pid, Running, ExitCode } = await sized.inspect();
  told['running exec'] = { Running, ExitCode };
  await sized.resize({ h: 20, w: 90 });
  told['size of an exec'] = await session.until(/\d+ \d+\r\n/);
  told['sized exec'] = await ended(sized);

  const fed = await container.exec({
    Cmd: ['sh', '-c', 'cat; echo err >&2; exit 4'],
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
  });
  const streams = await fed.start({ hijack: true, stdin: true });
  const outputs = [new PassThrough(), new PassThrough()] as const;
  docker.modem.demuxStream(streams, ...outputs);
  streams.end('to stdin');
  await once(streams, 'end');
  told['fed exec'] = [...outputs.map((output) => String(output.read())), await ended(fed)];

  const behind = await container.exec({ Cmd: ['sh', '-c', 'exit 8'] });
  await behind.start({ Detach: true });
  told['exec behind'] = await ended(behind);

  const absent = await container.exec({ Cmd: ['nosuch'], AttachStdout: true });
  const said = await absent.start({});
  told['absent'] = [await textOf(said), await ended(absent)];

  told['stats'] = await twoSamples((await container.stats({ stream: true })) as unknown as Readable);

  await container.putArchive(tarball({ name: 'file', body: 'put' }), { path: '/tmp' });
  told['archive'] = /put/.exec(await textOf((await container.getArchive({ path: '/tmp/file' })) as Readable))?.[0];

  const sleeping = await container.exec({ Cmd: ['sleep', '1000'] });
  await sleeping.start({ Detach: true });
  terminal.stream.write('end\n');
  told['wait'] = await container.wait();
  told['execs of one that has ended'] = [await ended(sized), await ended(sleeping)];
  await container.remove();
  told['left'] = await docker.listContainers({ all: true });
  return { told, pid };
}

/** A stream of a terminal, and what has come of it. */
class Heard {
  readonly stream: Duplex;
  #text = '';

  constructor(stream: Duplex) {
    this.stream = stream;
  }

  /** @returns what matched; it, and what came before, is not looked at again. @throws Error when the stream ends */
  async until(what: string | RegExp): Promise<string> {
    for (;;) {
      const match = new RegExp(what).exec(this.#text);
      if (match) {
        this.#text = this.#text.slice(match.index + match[0].length);
        return match[0];
      }
      const chunk = this.stream.read() as Buffer | null;
      if (chunk !== null) this.#text += String(chunk);
      else if (this.stream.readableEnded) throw new Error(`ended before ${String(what)}: ${this.#text}`);
      else await Promise.race([once(this.stream, 'readable'), once(this.stream, 'end')]);
    }
  }
}

/** Its exit code is there a moment after its streams have ended. */
async function ended(exec: Docker.Exec): Promise<{ ExitCode: number | null }> {
  for (;;) {
    const { Running, ExitCode } = await exec.inspect();
    if (!Running && ExitCode !== null) return { ExitCode };
    await sleep(LOOK);
  }
}

async function textOf(stream: Readable): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  return text;
}

interface Sample {
  read: string;
  preread: string;
  name: string;
  cpu_stats: { cpu_usage: { total_usage: number }; system_cpu_usage: number };
  precpu_stats: Sample['cpu_stats'];
  memory_stats: { usage: number; limit: number; stats: object };
  pids_stats: { current: number };
}

/** @returns what holds of two samples of a stream, whatever the figures */
async function twoSamples(stream: Readable): Promise<object> {
  const samples: Sample[] = [];
  let text = '';
  for await (const chunk of stream) {
    text += String(chunk);
    const lines = text.split('\n');
    text = lines.pop()!;
    samples.push(...lines.filter((line) => line.trim() !== '').map((line) => JSON.parse(line) as Sample));
    // leaving the loop leaves the stream
    if (samples.length >= 2) break;
  }
  const [first, second] = samples as [Sample, Sample];
  return {
    names: [first.name, second.name],
    follows: second.preread === first.read && second.read > first.read,
    before: second.precpu_stats.cpu_usage.total_usage === first.cpu_stats.cpu_usage.total_usage,
    grows: second.cpu_stats.cpu_usage.total_usage >= first.cpu_stats.cpu_usage.total_usage,
    // in ticks of 10 ms, of which a starved emulated machine counts none at times
    host: second.cpu_stats.system_cpu_usage >= first.cpu_stats.system_cpu_usage,
    memory: second.memory_stats.usage > 0 && second.memory_stats.usage < second.memory_stats.limit,
    processes: second.pids_stats.current > 0,
    fields: Object.keys(second).toSorted(),
    memoryFields: Object.keys(second.memory_stats).toSorted(),
    // what else there is depends on what a kernel is configured with
    memoryKinds: ['anon', 'file', 'inactive_file', 'pgfault'].every((kind) => kind in second.memory_stats.stats),
  };
}
