/**
 * RUN steps in virtual machines beside the same in user namespaces: what is printed, what is made, what is cached; how
 * steps end, and what is left then. GOLDEN=ID,… runs golden cases (test/engine/build/golden.test.ts) in machines
 * instead, a minute each.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { openEngine } from '../../src/engine/assembly/engine.ts';
import type { Image } from '../../src/images/store/contract.ts';
import { makeBox } from '../engine/build/box.ts';
import { huskBeside, makeContext, runCase, type GoldenCase, type Outcome } from '../engine/build/golden-case.ts';
import { DIFFERENT } from '../engine/build/golden-differences.ts';
import { problems } from '../engine/build/golden-problems.ts';
import { temporaryFolder } from '../fixtures/temporary.ts';
import { commandLine } from './home.ts';
import { missingParts, notByItself, onKvmHost, root as checkout } from './kvm-host.ts';
import { makeUnixClient, UNIX_CLIENT } from './parts.ts';

const SECONDS = 2400;
const GOLDEN = process.env['GOLDEN'];
/** ms for a monitor to be gone whose build was killed */
const PATIENCE = 30_000;

const DOCKERFILE = `FROM box AS one
COPY f /d/f
FROM scratch AS two
COPY f /a
COPY d /b
FROM box
RUN echo "OUT:$(id -u):$(id -g) $(pwd) $(hostname) $(umask)"; mkdir -m 2750 -p /n/e; echo old >/n/f; ln /n/f /n/g; ln -s f /n/l; mkfifo /n/p; rm -r /home/ann /bin/vi
COPY d /n/d
RUN echo "OUT:$(cat /n/d/x) $(ls /n | tr '\\n' ' ')"; echo new >>/n/f; chown 7:8 /n/e; chmod 4711 /n/g; mknod /n/null c 1 3; rm /n/l; rm -rf /n/d; mkdir /n/d; echo mine >/n/d/y
RUN --mount=target=/c --mount=from=one,source=/d,target=/o,rw --mount=from=two,target=/two --mount=from=box,source=/etc,target=/e \\
  echo "OUT:$(ls /c /o /two /two/b | tr '\\n' ' ') $(head -n1 /e/passwd)"; echo w >/c/f 2>/dev/null || echo OUT:ro; echo w >/o/f; echo "OUT:$(cat /o/f)"
RUN --mount=type=tmpfs,target=/t,size=64k --mount=type=secret,id=s,target=/run/s,mode=0440,uid=5,gid=6 --mount=type=secret,id=s,env=TOKEN \\
  echo "OUT:$(df -k /t | tail -n1 | tr -s ' ') $(stat -c %a:%u:%g /run/s) $(md5sum </run/s) $(echo -n "$TOKEN" | md5sum)"
RUN --mount=type=cache,target=/k,mode=0750,uid=5,gid=6,id=shared \\
  echo "OUT:$(stat -c %a:%u:%g /k) $(cat /k/x 2>/dev/null)"; echo kept >/k/x; ln -s / /k/out; chown 9:9 /k/x
RUN --mount=type=cache,target=/k,ro,id=shared --mount=type=cache,target=/m,source=out,id=shared,ro \\
  true
RUN --network=none echo "OUT:$(ip addr | grep -c ': eth')"
RUN echo "OUT:$(ip -4 addr show eth0 | grep -c inet) $(ip route | cut -d' ' -f1-2 | head -n1) $(grep -c foo /etc/hosts)"; echo x >/etc/resolv.conf; grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status | sed s/^/OUT:/
RUN <<END
#!/bin/sh
echo "OUT:$0"; (sleep 30; touch /late) &
END
USER ann
WORKDIR /w
RUN echo "OUT:$(id) $HOME $(pwd)"; ulimit -n | sed s/^/OUT:/
RUN ["nosuch"]
`;

/** golden cases that one machine runs one after another: a RUN's words, shell, user, folder, files, mounts, devices */
const SAMPLE =
  'binddefault secretstub secretmode tmpfs shellform workdiruser workdirsym user runexec netnone bg mountrel wdquote'.split(
    ' ',
  );
/** what one case leaves behind for the next */
const BETWEEN = 'USER root\nWORKDIR /\nSHELL ["/bin/sh", "-c"]\n';
/** asks an agent of ssh, while the connection is open: SOCKET, REQUEST as printf(1) writes it, and bytes of the answer */
const ASK = `#!/bin/sh
mkfifo /tmp/i /tmp/o
/unix-client "$1" </tmp/i >/tmp/o &
exec 3>/tmp/i 4</tmp/o
printf "$2" >&3
head -c "$3" <&4 | od -An -tx1 | sed s/^/OUT:/
rm /tmp/i /tmp/o
`;
const LIST_KEYS = String.raw`'\0\0\0\1\13' 9`;
const REMOVE_KEYS = String.raw`'\0\0\0\1\23' 5`;
/** the first step: its machine has what it mounts, and so the machine of all others */
const AGENTS = `COPY --chmod=755 ask unix-client /
RUN --mount=type=ssh,id=k,required --mount=type=ssh,id=k,target=/s,mode=0660,uid=5,gid=6 cat /proc/sys/kernel/random/boot_id >/boot-id; \\
  echo "OUT:$SSH_AUTH_SOCK $(stat -c %a:%u:%g "$SSH_AUTH_SOCK" /s | tr '\\n' ' ')"; for socket in "$SSH_AUTH_SOCK" /s; do /ask $socket ${LIST_KEYS}; done; /ask /s ${REMOVE_KEYS}
RUN ls /s /run/buildkit 2>&1 | sed s/^/OUT:/
`;
const SAME_MACHINE = `RUN [ "$(cat /boot-id)" = "$(cat /proc/sys/kernel/random/boot_id)" ] && echo "OUT:one machine"; rm /boot-id\n`;

const env = { ...(GOLDEN && { GOLDEN }) };
const reason = notByItself() ?? missingParts();
if (reason === undefined) makeUnixClient();
if (reason === undefined) await onKvmHost(import.meta.url, register, { seconds: SECONDS, env });
else test.skip(`RUN in virtual machines: ${reason}`, () => {});

function register(): void {
  const work = temporaryFolder('husk-vm-build-');
  chmodSync(work, 0o755);
  const root = join(work, 'root');
  let box: Image;
  test.before('the image box', async () => {
    box = await makeBox(work, root);
  });
  const left = (): string[] => readdirSync(join(root, 'tmp'));

  const path = join(checkout, 'test/images/build/corpus/golden/cases.json');
  const cases = JSON.parse(readFileSync(path, 'utf8')) as GoldenCase[];
  if (GOLDEN) {
    for (const golden of cases.filter(({ id }) => GOLDEN.split(',').includes(id)))
      test.serial(golden.id, async (t) => {
        t.timeout(SECONDS * 1000);
        const outcome = await runCase(makeContext(work, golden), root, golden, box, 'vm');
        t.deepEqual(problems(outcome, golden), []);
        t.deepEqual(left(), []);
      });
    return;
  }

  /** of the Dockerfile up to its last step */
  const whole = DOCKERFILE.replace(/RUN \["nosuch"\]\n$/, '').replace(/RUN .*\\\n {2}true\n/, '');
  const files = { f: 'file\n', 'd/x': 'in d\n' };
  const args = '--secret id=s,src=../secret --add-host foo:192.0.2.7 --ulimit nofile=77:99';
  const layers = async (): Promise<string[]> => {
    using engine = await openEngine({ dataRoot: root });
    return engine.images.get('result').layers.map(({ diffId }) => diffId);
  };

  test.serial('steps print and make the same in both, and the layers of COPY are the same', async (t) => {
    t.timeout(SECONDS * 1000);
    writeFileSync(join(work, 'secret'), 'a value that is nowhere else');
    const made: Outcome[] = [];
    const diffIds: string[][] = [];
    for (const isolation of ['userns', 'vm'] as const) {
      // The cache of the mount is new each time.
      const golden: GoldenCase = {
        id: '',
        dockerfile: whole.replaceAll('id=shared', `id=${isolation}`),
        files,
        args,
        buildkit: { rc: 0 },
      };
      made.push(await runCase(makeContext(work, golden), root, golden, box, isolation));
      diffIds.push(await layers());
    }
    const [userns, vm] = made;
    t.is(userns!.rc, 0, userns!.error);
    t.is(vm!.rc, 0, vm!.error);
    t.deepEqual(vm!.out, userns!.out);
    t.is(vm!.out!.length, 15);
    t.deepEqual(vm!.tree, userns!.tree);
    t.is(vm!.tree!['n/d/y'], String.raw`f 0644 0:0 'mine\n'`);
    t.is(vm!.tree!['home/ann'], 'DELETED');
    // the base, and `COPY d /n/d` above a RUN whose folder it repeats but for its time
    t.is(diffIds[0]!.length, diffIds[1]!.length);
    t.is(diffIds[0]![0], diffIds[1]![0]);
    t.deepEqual(left(), []);
  });

  test.serial(
    'a build that is cached boots nothing; a command that is not there is told as in user namespaces',
    async (t) => {
      t.timeout(SECONDS * 1000);
      const golden: GoldenCase = {
        id: '',
        dockerfile: 'FROM box\nCOPY f /f\nRUN ["nosuch"]\n',
        files,
        buildkit: { rc: 1 },
      };
      const folder = makeContext(work, golden);
      const [userns, vm] = [
        await runCase(folder, root, golden, box, 'userns'),
        await runCase(folder, root, golden, box, 'vm'),
      ];
      t.deepEqual(vm, userns);
      t.regex(vm.error!, /did not complete successfully: exec: "nosuch": executable file not found/);
      writeFileSync(join(folder, 'Dockerfile'), whole.replaceAll('id=shared', 'id=vm'));
      writeFileSync(join(folder, '../secret'), 'another value');
      const again = await huskBeside(folder, [
        '--data-root',
        root,
        'build',
        '--isolation=vm',
        '--progress=plain',
        ...args.split(' '),
        '.',
      ]);
      t.is(again.code, 0, again.stderr);
      t.notRegex(again.stderr, /OUT:\d/);
      t.deepEqual(left(), []);
    },
  );

  test.serial('no secret is in the data root', (t) => {
    // The folder of a cache belongs to one of its ids, and is closed to this process.
    const having = (text: string): string => spawnSync('grep', ['-rlsF', text, root], { encoding: 'utf8' }).stdout;
    t.not(having('in d'), '');
    t.is(having('a value that is nowhere else'), '');
  });

  test.serial('golden cases and agents of ssh, all in one machine', async (t) => {
    t.timeout(SECONDS * 1000);
    const sample = SAMPLE.map((id) => cases.find((each) => each.id === id)!);
    const key = join(work, 'key');
    spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'a key', '-f', key]);
    const steps = sample.map(({ dockerfile }) => dockerfile!.replace(/^FROM box\n/, ''));
    const golden: GoldenCase = {
      id: '',
      dockerfile: ['FROM box\n', AGENTS, ...steps, SAME_MACHINE].join(BETWEEN),
      files: Object.assign({ ask: ASK }, ...sample.map(({ files }) => files)) as GoldenCase['files'],
      args: [...new Set([`--ssh k=${key}`, ...sample.flatMap((each) => each.args ?? [])])].join(' '),
      buildkit: { rc: 0 },
    };
    const made: Outcome[] = [];
    for (const isolation of ['userns', 'vm'] as const) {
      const folder = makeContext(work, golden);
      copyFileSync(UNIX_CLIENT, join(folder, 'unix-client'));
      made.push(await runCase(folder, root, golden, box, isolation));
    }
    const [userns, vm] = made;
    t.is(userns!.rc, 0, userns!.error);
    t.is(vm!.rc, 0, vm!.error);
    t.deepEqual(vm!.out, userns!.out);
    t.deepEqual(vm!.tree, userns!.tree);
    const recorded = sample.flatMap(({ id, buildkit }) => DIFFERENT[id]?.expected.out ?? buildkit.out ?? []);
    const listed = vm!.out!.slice(0, 6);
    t.is(listed[0], 'OUT:/run/buildkit/ssh_agent.0 600:0:0 660:5:6 ');
    for (const line of listed.slice(1, 3)) t.regex(line, /^OUT: 00 00 00 [\da-f]{2} 0c 00 00 00 01$/);
    t.deepEqual(listed.slice(3), [
      'OUT: 00 00 00 01 05',
      'OUT:ls: /s: No such file or directory',
      'OUT:ls: /run/buildkit: No such file or directory',
    ]);
    t.deepEqual(vm!.out!.slice(6), [...recorded, 'OUT:one machine']);
    t.deepEqual(left(), []);
  });

  const monitors = (): string[] =>
    readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && /husk-build-vm|build-machine/.test(commandLine(pid)));

  for (const [signal, code, said] of [
    ['SIGINT', 130, /OUT:asked/],
    ['SIGKILL', null, /OUT:began/],
  ] as const)
    test.serial(`${signal} of a build ends its machine`, async (t) => {
      t.timeout(SECONDS * 1000);
      const folder = join(work, `ends-${signal}`);
      mkdirSync(folder);
      writeFileSync(
        join(folder, 'Dockerfile'),
        "FROM box\nRUN --network=none trap 'echo OUT:asked; exit 3' TERM; echo OUT:began; while :; do sleep 0.1; done\n",
      );
      const words = ['--data-root', root, 'build', '--isolation=vm', '--no-cache', '--progress=plain', '.'];
      const child = spawn(join(checkout, 'bin/husk'), words, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
      let stderr = '';
      const began = new Promise<void>((resolve) =>
        child.stderr.setEncoding('utf8').on('data', (text: string) => {
          stderr += text;
          if (/^#\d+ [\d.]+ OUT:began$/m.test(stderr)) resolve();
        }),
      );
      const closed = once(child, 'close');
      await Promise.race([began, closed]);
      t.true(monitors().length > 0, stderr);
      child.kill(signal);
      t.is((await closed)[0], code, stderr);
      t.regex(stderr, said);
      for (const start = Date.now(); monitors().length > 0 && Date.now() - start < PATIENCE;) await sleep(50);
      t.deepEqual(monitors(), []);
      if (signal === 'SIGINT') t.deepEqual(left(), []);
    });
}
