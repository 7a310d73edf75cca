/**
 * Shared folders of a VM container against the same folders without a machine in between: test/vmm/guest/posix.c asks a
 * file system everything, once in a container of user namespaces and once in a VM, and the answers must be the same.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname } from 'node:path';
import { createInterface } from 'node:readline';
import test from 'ava';
import { Home, TIMEOUT } from './home.ts';
import { missingParts, notByItself, onKvmHost, root } from './kvm-host.ts';

const PROGRAM = `${root}build/test-vmm/posix`;
/** says what inotify tells of paths */
const WATCHER = `${root}build/test-vmm/watch`;
/** made by test/vm-host: a tmpfs of 1 MiB */
const SMALL = '/run/vm-host-small';
/** a hard limit of descriptors as low as a careful administrator sets it, and more files than it allows */
const FEW_DESCRIPTORS = 2048;
const MANY_FILES = 2500;
/** of all changes, with a look at five names after each */
const PING_PONG_ROUNDS = 5;

const missing = missingParts() ?? notByItself();
if (missing !== undefined) test.skip(missing, () => {});
else {
  if (process.env['VMHOST'] !== '1') {
    mkdirSync(`${root}build/test-vmm`, { recursive: true });
    for (const program of [PROGRAM, WATCHER]) {
      const source = `${root}test/vmm/guest/${basename(program)}.c`;
      const warnings = ['-Wall', '-Wextra', '-Wno-unused-result', '-Werror'];
      execFileSync('gcc', ['-static', '-O1', ...warnings, '-o', program, source]);
    }
  }
  await onKvmHost(import.meta.url, register, { seconds: 600 });
}

/** What differs, and why: docs/differences.md § Virtual machines. */
const DIFFERENT: Record<string, [here: string, vm: string]> = {};

function register(): void {
  const home = new Home();
  test.after.always('nothing is left running', async (t) => t.deepEqual(await home.end(), []));

  test.serial('a POSIX program gets the same answers in a shared folder as without a machine in between', (t) => {
    const answers = (isolation: string) => {
      const [folder, fixed] = [home.make(`${isolation}/rw`), home.make(`${isolation}/ro`)];
      home.write(`${isolation}/ro/file`, 'text');
      home.make(`${isolation}/ro/dir`);
      const { status, stdout, stderr } = home.husk(
        'run',
        '--rm',
        `--isolation=${isolation}`,
        '--network',
        'none',
        '-v',
        `${PROGRAM}:/posix:ro`,
        '-v',
        `${folder}:/rw`,
        '-v',
        `${fixed}:/ro:ro`,
        '-v',
        `${SMALL}:/full`,
        'husk/base',
        'sh',
        '-c',
        '/posix /rw; echo == read-only; /posix /ro ro; echo == full; /posix /full full',
      );
      t.is(status, 0, stderr);
      t.is(stderr, '');
      return stdout.split('\n');
    };
    const [here, vm] = [answers('userns'), answers('vm')];
    t.true(here.length > 270, here.join('\n'));
    const differences = here.flatMap((line, i) =>
      line === vm[i] || DIFFERENT[line]?.[1] === vm[i] ? [] : [`${line}   in a VM: ${vm[i]}`],
    );
    t.deepEqual(differences, []);
    t.is(vm.length, here.length);
  });

  for (const isolation of ['userns', 'vm'])
    test.serial(
      `${isolation}: single files live on both sides, read-only ones, more folders than a machine has devices`,
      (t) => {
        const [conf, fixed] = [
          home.write(`${isolation}/x.conf`, 'first\n'),
          home.write(`${isolation}/fixed.conf`, 'first\n'),
        ];
        const many = Array.from({ length: 12 }, (_, i) => {
          home.write(`${isolation}/many${i}/number`, `${i}\n`);
          return home.path(`${isolation}/many${i}`);
        });
        const binds = [
          '-v',
          `${conf}:/etc/x.conf`,
          '-v',
          `${fixed}:/etc/fixed.conf:ro`,
          '-v',
          '/dev/null:/etc/nothing',
          ...many.flatMap((folder, i) => ['-v', `${folder}:/many/${i}${i === 0 ? ':ro' : ''}`]),
        ];
        home.must(
          'run',
          '-d',
          '--name',
          `single-${isolation}`,
          `--isolation=${isolation}`,
          '--network',
          'none',
          ...binds,
          'husk/base',
          'sleep',
          '1000',
        );
        const inside = (script: string) => {
          const { stdout, stderr } = home.husk('exec', `single-${isolation}`, 'sh', '-c', script);
          return stdout + stderr;
        };
        t.is(
          inside('cat /etc/x.conf; echo second >/etc/x.conf; rm /etc/x.conf; mv /etc/x.conf /etc/y.conf'),
          "first\nrm: can't remove '/etc/x.conf': Device or resource busy\nmv: can't rename '/etc/x.conf': Device or resource busy\n",
        );
        t.is(home.read(`${isolation}/x.conf`), 'second\n');
        writeFileSync(conf, 'third\n');
        t.is(inside('cat /etc/x.conf'), 'third\n');
        // a new file under the old name is not followed, as in Docker
        renameSync(home.write(`${isolation}/x.conf.new`, 'fourth\n'), conf);
        t.is(inside('cat /etc/x.conf'), 'third\n');
        t.is(
          inside('cat /etc/fixed.conf; echo x >/etc/fixed.conf; chmod 777 /etc/fixed.conf'),
          "first\nsh: can't create /etc/fixed.conf: Read-only file system\nchmod: /etc/fixed.conf: Read-only file system\n",
        );
        t.is(inside('cat /etc/nothing; echo x >/etc/nothing; ls -l /etc/nothing | cut -c1'), 'c\n');
        t.is(inside('cat /many/*/number | wc -l; touch /many/0/x'), '12\ntouch: /many/0/x: Read-only file system\n');
        home.must('rm', '-f', `single-${isolation}`);
      },
    );

  test.serial("the host's change is seen by the guest's next look after it has heard of the change", async (t) => {
    t.timeout(TIMEOUT);
    const folder = home.make('pong');
    // shell builtins only: a look takes no process
    const script =
      'while read -r name; do case $name in !*) eval "${name#!}" </dev/null; echo done; continue; esac; f=/pong/$name; said=; for o in e f d s x; do [ -$o $f ] && said=$said$o; done; text=; [ -f $f ] && read -r text <$f; names=; for n in ${f%/*}/*; do names="$names ${n##*/}"; done; echo "$said $text:$names"; done';
    const args = ['run', '-i', '--rm', '--isolation=vm', '--network', 'none', '-v', `${folder}:/pong`];
    const child = spawn(`${root}bin/husk`, [...args, 'husk/base', 'sh', '-c', script], { env: home.env });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const look = async (name: string) => {
      child.stdin.write(`${name}\n`);
      return (await lines.next()).value as string | undefined;
    };
    const inGuest = async (command: string) => t.is(await look(`!${command}`), 'done');
    const file = home.path('pong/file');
    const expected = (name: string) => {
      const path = home.path('pong', name);
      const above = dirname(path);
      const names = statSync(above, { throwIfNoEntry: false }) === undefined ? [] : readdirSync(above).sort();
      const listing = `: ${names.join(' ') || '*'}`;
      const stat = statSync(path, { throwIfNoEntry: false });
      if (stat === undefined) return ` ${listing}`;
      const text = stat.isFile() ? readFileSync(path, 'utf8').split('\n')[0] : '';
      const marks = [stat.isFile() ? 'f' : 'd', stat.size > 0 ? 's' : '', (stat.mode & 0o111) !== 0 ? 'x' : ''];
      return `e${marks.join('')} ${text}${listing}`;
    };
    home.write('pong/kept', '');
    // Each change is one that only a new look finds; the guest has looked at the name just before.
    const [inner, moved] = [home.path('pong/in/file'), home.path('pong/moved')];
    const changes: (() => void | Promise<void>)[] = [
      () => writeFileSync(file, 'one\n'),
      () => writeFileSync(file, 'two\n'),
      () => chmodSync(file, 0o755),
      () => truncateSync(file),
      () => chmodSync(file, 0o644),
      () => renameSync(home.write('pong/new', 'three\n'), file),
      () => renameSync(file, home.path('pong/gone')),
      () => linkSync(home.path('pong/gone'), file),
      () => appendFileSync(home.path('pong/gone'), '\n'),
      () => rmSync(file),
      () => mkdirSync(file, 0o755),
      () => rmdirSync(file),
      // folders above a name
      () => void home.write('pong/in/file', 'inner\n'),
      () => renameSync(home.path('pong/in'), home.path('pong/out')),
      () => symlinkSync('out', home.path('pong/in')),
      () => unlinkSync(home.path('pong/in')),
      () => renameSync(home.path('pong/out'), home.path('pong/in')),
      () => linkSync(inner, file),
      () => appendFileSync(file, 'more\n'),
      () => rmSync(home.path('pong/in'), { recursive: true }),
      // beside what the guest itself does to the same names
      () => inGuest('mv /pong/file /pong/moved'),
      () => writeFileSync(moved, "the host's\n"),
      () => renameSync(moved, file),
      () => inGuest('mkdir /pong/in; echo guest >/pong/in/file'),
      () => writeFileSync(inner, 'then the host\n'),
      () => inGuest('mv /pong/file /pong/in/file'),
      () => renameSync(home.write('pong/new', 'over it\n'), inner),
      () => inGuest('rm -r /pong/in'),
      () => void home.write('pong/in/file', 'again\n'),
      () => rmSync(home.path('pong/in'), { recursive: true }),
    ];
    const names = ['file', 'moved', 'in/file', 'in', 'out/file'];
    const differences: string[] = [];
    for (let round = 0; round < PING_PONG_ROUNDS; round++)
      for (const [i, change] of changes.entries()) {
        await change();
        for (const name of names) {
          const [wanted, found] = [expected(name), await look(name)];
          if (found !== wanted) differences.push(`round ${round}, change ${i}, ${name}: ${found} instead of ${wanted}`);
        }
      }
    child.stdin.end();
    t.deepEqual(differences, []);
    t.is(await new Promise((resolve) => child.on('close', resolve)), 0);
  });

  test.serial("a watching program hears of the host's changes, and of its own container's once", async (t) => {
    t.timeout(TIMEOUT);
    const folder = home.make('watched');
    home.write('watched/file', 'text');
    home.write('watched/unseen', 'text');
    home.write('watched/kept/inner', 'text');
    home.must(
      'run',
      '-d',
      '--name',
      'watched',
      '--isolation=vm',
      '--network',
      'none',
      '-v',
      `${folder}:/w`,
      '-v',
      `${WATCHER}:/watch:ro`,
      'husk/base',
      'sleep',
      '1000',
    );
    const child = spawn(`${root}bin/husk`, ['exec', 'watched', '/watch', '/w', '/w/file', '/w/kept'], {
      env: home.env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const lines = createInterface({ input: child.stdout.setEncoding('latin1') })[Symbol.asyncIterator]();
    const next = async () => (await lines.next()).value as string | undefined;
    t.is(await next(), 'ready');
    const at = (name: string) => home.path('watched', name);
    let ends = 0;
    /** @returns what is heard of a change; the next one, of a name of its own, ends it */
    const heard = async (change: () => void) => {
      change();
      const end = `end${ends++}`;
      mkdirSync(at(end));
      const events: string[] = [];
      for (;;) {
        const line = await next();
        if (line === undefined || line === `1 create folder ${end}`) return events;
        events.push(line);
      }
    };
    const odd = Buffer.concat([Buffer.from(at('odd ')), Buffer.from([0xff])]);
    const changes: [change: () => unknown, ...events: string[]][] = [
      [() => appendFileSync(at('file'), 'x'), '1 modify file', '2 modify'],
      [() => appendFileSync(at('unseen'), 'x'), '1 modify unseen'],
      [() => chmodSync(at('file'), 0o600), '1 attrib file', '2 attrib'],
      [() => writeFileSync(at('new'), 'text'), '1 create new'],
      [() => mkdirSync(at('folder')), '1 create folder folder'],
      [() => symlinkSync('file', at('link')), '1 create link'],
      [() => renameSync(at('new'), odd), '1 delete new', '1 create odd \xff'],
      [() => rmSync(odd), '1 delete odd \xff'],
      [() => rmdirSync(at('folder')), '1 delete folder folder'],
      // as editors save
      [() => renameSync(home.write('saved', 'text'), at('file')), '1 create file', '2 attrib', '2 delete_self'],
      [() => rmSync(at('kept'), { recursive: true }), '3 delete inner', '1 delete folder kept', '3 delete_self'],
    ];
    for (const [change, ...wanted] of changes) {
      const events = await heard(change);
      const missing = wanted.filter((each) => !events.includes(each));
      t.deepEqual(missing, [], `${String(change)}: ${events.join(', ')}`);
    }
    const [before, text] = [statSync(at('unseen')), readFileSync(at('file'), 'utf8')];
    const own = 'cd /w; echo a >own; echo b >>own; mv own new; chmod 600 new; rm new; mkdir d; rmdir d';
    const events = await heard(() => home.must('exec', 'watched', 'sh', '-c', own));
    t.deepEqual(events, [
      '1 create own',
      '1 modify own',
      '1 modify own',
      '1 moved_from own',
      '1 moved_to new',
      '1 attrib new',
      '1 delete new',
      '1 create folder d',
      '1 delete folder d',
    ]);
    // What the guest was told changes nothing on the host.
    t.deepEqual([statSync(at('unseen')), readFileSync(at('file'), 'utf8')], [before, text]);
    child.kill();
    home.must('rm', '-f', 'watched');
  });

  test.serial('a guest that opens more files than its supervisor may is refused some; the supervisor answers', (t) => {
    t.timeout(TIMEOUT);
    const crowd = home.make('crowd');
    for (let i = 0; i < MANY_FILES; i++) writeFileSync(`${crowd}/${i}`, `${i}`);
    // it opens each, says which it cannot, and keeps the others
    const script = `cd /crowd; tail -q -n 0 -f -s 100000 $(seq 0 ${MANY_FILES - 1}) last; sleep 1000`;
    const few = ['prlimit', `--nofile=${FEW_DESCRIPTORS}:${FEW_DESCRIPTORS}`, `${root}bin/husk`];
    const run = ['run', '-d', '--name', 'crowd', '--isolation=vm', '--network', 'none', '-v', `${crowd}:/crowd`];
    const [program, ...args] = [...few, ...run, 'husk/base', 'sh', '-c', script];
    const started = spawnSync(program!, args, { env: home.env, encoding: 'utf8', timeout: TIMEOUT });
    t.is(started.status, 0, started.stderr);
    let said: string;
    for (let i = 0; ; i++) {
      const alive = home.husk('exec', 'crowd', 'echo', `alive ${i}`);
      t.deepEqual(alive, { status: 0, stdout: `alive ${i}\n`, stderr: '' });
      said = home.husk('logs', 'crowd').stderr;
      if (said.includes("'last'")) break;
    }
    const refused = said.match(/^tail: can't open '\d+': Too many open files/gm)?.length ?? 0;
    t.true(refused > MANY_FILES - FEW_DESCRIPTORS && refused < MANY_FILES, said.slice(0, 1000));
    // and all of them are there again once it lets go
    const last = MANY_FILES - 1;
    const read = `killall tail; until cat /crowd/${last} 2>/dev/null; do sleep 0.2; done`;
    t.is(home.must('exec', 'crowd', 'sh', '-c', read), String(last));
    home.must('rm', '-f', 'crowd');
  });

  test.serial('a share that the host moves, empties or removes while it is used', (t) => {
    const [moved, removed, file] = [home.make('moved'), home.make('removed'), home.write('single', 'one')];
    home.write('moved/file', 'text');
    home.write('removed/file', 'text');
    t.is(
      home.run(
        '-d',
        '--name',
        'vanish',
        '-v',
        `${moved}:/moved`,
        '-v',
        `${removed}:/removed`,
        '-v',
        `${file}:/single`,
        'husk/base',
        'sh',
        '-c',
        'trap exit TERM; while :; do sleep 0.1; done',
      ).status,
      0,
    );
    const inside = (script: string) => {
      const { stdout, stderr } = home.husk('exec', 'vanish', 'sh', '-c', script);
      return stdout + stderr;
    };
    renameSync(moved, home.path('elsewhere'));
    rmSync(removed, { recursive: true });
    rmSync(file);
    // a mount is of the folder, not of its name: as in Docker
    t.is(inside('cat /moved/file; echo new >/moved/other'), 'text');
    t.is(readFileSync(home.path('elsewhere/other'), 'utf8'), 'new\n');
    t.is(
      inside('ls /removed; cat /removed/file 2>&1; touch /removed/x 2>&1; cat /single'),
      "cat: can't open '/removed/file': No such file or directory\ntouch: /removed/x: No such file or directory\none",
    );
    writeFileSync(home.path('elsewhere/later'), 'later');
    t.is(inside('cat /moved/later'), 'later');
    t.is(home.must('stop', 'vanish'), 'vanish');
    const again = home.husk('start', 'vanish');
    t.not(again.status, 0);
    t.regex(
      again.stderr,
      /(cannot share .*\/moved with a virtual machine: it is not there|bind source path does not exist: .*\/moved)/,
    );
    home.must('rm', 'vanish');
  });

  test.serial('volumes: what the image has is there, two containers share one, --volumes-from', (t) => {
    t.is(
      home.run('--rm', '-v', 'data:/etc', 'husk/base', 'sh', '-c', 'ls /etc/passwd; echo vm >/etc/from-vm').stdout,
      '/etc/passwd\n',
    );
    home.must(
      'run',
      '-d',
      '--name',
      'holder',
      '--isolation=userns',
      '--network',
      'none',
      '-v',
      'data:/data',
      'husk/base',
      'sleep',
      '1000',
    );
    t.is(home.must('exec', 'holder', 'cat', '/data/from-vm'), 'vm');
    const { stdout, stderr } = home.run(
      '--rm',
      '--volumes-from',
      'holder:ro',
      'husk/base',
      'sh',
      '-c',
      'cat /data/from-vm; touch /data/x; stat -c %u:%g /data/from-vm',
    );
    t.is(stdout + stderr, 'vm\n0:0\ntouch: /data/x: Read-only file system\n');
    home.must('rm', '-f', 'holder');
  });
}
