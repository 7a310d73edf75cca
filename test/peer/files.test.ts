/**
 * `cp`, `diff`, `export` and `commit` under husk and under Podman: the same command on the same folders, then what has
 * become of them. One case a line. Of a running container and of a stopped one.
 */
import test, { type ExecutionContext } from 'ava';
import { clean, IMAGE, peers, type Peers } from './peers.ts';

let both: Peers | string = 'not set up';
/** what each case finds, on the host's side and in the container */
const HERE =
  'rm -rf here; mkdir -p here/dir/sub here/other; cd here; echo file >file; echo sub >dir/sub/f; chmod 750 dir/sub; ln -s file link; ln -s dir dirlink; ln -s nothing broken; ln -s /etc/passwd away; ln dir/sub/f dir/hard; mkfifo dir/fifo; chmod 4755 file';
const THERE =
  'rm -rf /t; mkdir -p /t/dir/sub /t/other; cd /t; echo theirs >file; echo sub >dir/sub/f; chmod 700 dir/sub; chown 1:2 dir/sub/f file; ln -s file link; ln -s dir dirlink; ln -s nothing broken; ln -s /etc/passwd away; ln -s ../../../../t/dir up; ln dir/sub/f dir/hard';
const TREE = (folder: string, owners: boolean) =>
  `cd ${folder} && find . -printf '%p %y %m %l${owners ? ' %U:%G' : ''}\\n' | sort; find . -type f -exec sh -c 'echo "$1: $(cat "$1")"' _ {} \\; | sort`;

test.before(async () => {
  both = await peers('debian');
  if (typeof both === 'string') return;
  for (const run of [both.husk, both.podman]) {
    const { status, stderr } = run(['run', '-d', '--name', 'cc', '--network=none', IMAGE, 'sleep', 'infinity']);
    if (status !== 0) throw new Error(stderr);
  }
});
test.after.always(() => {
  if (typeof both !== 'string') both[Symbol.dispose]();
});

interface Case {
  /** Docker's text, where Podman's is its own */
  says?: RegExp;
  /** what husk leaves out of or does to the tree otherwise than Podman (docs/differences.md) */
  view?: (tree: string) => string;
  /** Podman exits otherwise than Docker */
  podmanStatus?: number;
  input?: string;
}

function copies(args: string[], { says, view = (tree) => tree, podmanStatus, input }: Case = {}): void {
  test.serial(`cp ${args.join(' ')}`, (t) => {
    if (typeof both === 'string') return t.pass(both);
    const { user } = both;
    const [mine, theirs] = [both.husk, both.podman].map((run) => {
      user.run(['sh', '-c', HERE]);
      t.is(run(['exec', 'cc', 'sh', '-c', THERE]).status, 0);
      const { status, stderr } = run(['cp', ...args], { input });
      return {
        status,
        stderr,
        here: view(user.run(['sh', '-c', TREE('here', false)]).stdout),
        there: view(run(['exec', 'cc', 'sh', '-c', TREE('/t', true)]).stdout),
      };
    }) as [Result, Result];
    check(t, mine, theirs, { says, podmanStatus });
  });
}

interface Result {
  status: number | null;
  stderr: string;
  here: string;
  there: string;
}

function check(t: ExecutionContext, mine: Result, theirs: Result, { says, podmanStatus }: Case): void {
  const shown = `husk: ${mine.stderr}\npodman: ${theirs.stderr}`;
  if (podmanStatus !== undefined)
    return void (t.is(theirs.status, podmanStatus, shown), says && t.regex(mine.stderr, says));
  t.is(mine.status === 0, theirs.status === 0, shown);
  if (says) t.regex(mine.stderr, says);
  else t.is(mine.stderr, '');
  t.is(mine.here, theirs.here);
  t.is(mine.there, theirs.there);
}

// out of the container
copies(['cc:/t/file', 'here']);
copies(['cc:/t/file', 'here/']);
copies(['cc:t/file', 'here/new']);
copies(['cc:/t/file', 'here/file']);
copies(['cc:/t/file', 'here/new/'], { says: /^Error: no such directory\n$/ });
copies(['cc:/t/file', 'here/none/new'], { says: /invalid output path: directory ".*\/here\/none" does not exist/ });
copies(['cc:/t/dir', 'here/other']);
copies(['cc:/t/dir', 'here/new']);
copies(['cc:/t/dir/', 'here/new']);
copies(['cc:/t/dir/.', 'here/new']);
copies(['cc:/t/dir/.', 'here/other']);
copies(['cc:/t/dir', 'here/file'], { says: /^Error: cannot copy directory\n$/ });
// a folder that is there keeps its mode on this host (docs/differences.md)
copies(['cc:/t/dir', 'here'], { view: (tree) => tree.replace(/(\.\/dir\/sub d) \d+/, '$1') });
copies(['cc:/t/nothing', 'here'], { says: /^Error: Could not find the file \/t\/nothing in container cc\n$/ });
copies(['cc:/t/file', 'here/dirlink']);
// folders that are there keep their mode: docs/differences.md
copies(['cc:/t/dir/.', 'here/dirlink'], { view: (tree) => tree.replace('./dir/sub d 750', './dir/sub d 700') });
// into it
copies(['here/file', 'cc:/t']);
copies(['here/file', 'cc:/t/new']);
copies(['here/file', 'cc:/t/file']);
copies(['here/file', 'cc:/t/new/'], { says: /^Error: no such directory\n$/ });
copies(['here/file', 'cc:/t/none/new'], { says: /^Error: Could not find the file \/t\/none in container cc\n$/ });
copies(['here/dir', 'cc:/t/other']);
// Podman links the new name to what the old name is in the container: a file that was there before
const ownLinks = (tree: string) => tree.replaceAll(/(\.\/dir\/(?:hard|sub\/f) f 644 +)\d+:\d+/g, '$1');
copies(['here/dir', 'cc:/t/new'], { view: ownLinks });
copies(['here/dir/.', 'cc:/t/new'], { view: ownLinks });
copies(['here/dir/.', 'cc:/t/other']);
copies(['here/dir', 'cc:/t/file'], { says: /^Error: cannot copy directory\n$/ });
copies(['here/dir', 'cc:/t']);
copies(['here/file', 'cc:/t/dirlink']);
copies(['here/file', 'cc:/t/dirlink/']);
copies(['here/file', 'cc:/t/up']);
copies(['here/none', 'cc:/t'], { says: /^Error: lstat .*\/here\/none: no such file or directory\n$/ });
copies(['here/file', 'none:/t'], { says: /^Error: No such container: none\n$/ });
copies(['-', 'cc:/t/file'], { says: /^Error: destination "cc:\/t\/file" must be a directory\n$/, input: 'x' });

test.serial('a symbolic link is copied as one, with -L what it leads to: Podman follows it always', (t) => {
  if (typeof both === 'string') return t.pass(both);
  const { user, husk } = both;
  user.run(['sh', '-c', HERE]);
  husk(['exec', 'cc', 'sh', '-c', THERE]);
  for (const args of [
    ['cc:/t/link', 'here/1'],
    ['-L', 'cc:/t/link', 'here/2'],
    ['-L', 'cc:/t/dirlink', 'here/3'],
    ['here/link', 'cc:/t/1'],
    ['-L', 'here/link', 'cc:/t/2'],
    ['-L', 'here/dirlink/.', 'cc:/t/3'],
  ])
    t.is(husk(['cp', ...args]).stderr, '', args.join(' '));
  const kinds = 'stat -c "%n %F" 1 2 3';
  const expected = '1 symbolic link\n2 regular file\n3 directory\n';
  t.is(user.run(['sh', '-c', `cd here; ${kinds}`]).stdout, expected);
  t.is(husk(['exec', '-w', '/t', 'cc', 'sh', '-c', kinds]).stdout, expected);
});

test.serial('diff, and what a commit and an export have of it', (t) => {
  if (typeof both === 'string') return t.pass(both);
  // without what Podman tells otherwise than Docker: a folder made anew, a file replaced by its like, and /.dockerenv,
  // which it has not
  const change =
    'rm -rf /t; mkdir /new /new/d; echo x >/new/d/f; echo 127.0.0.9 x >>/etc/issue; rm /etc/motd; rm -rf /usr/share/doc/bash; chmod 700 /srv; echo y >/opt/y; rm -rf /var/mail; ln -s /nowhere /var/mail; touch -c /etc/passwd';
  const results = [both.husk, both.podman].map((run) => {
    run(['exec', 'cc', 'sh', '-c', change]);
    const diff = run(['diff', 'cc']).stdout;
    const commit = run([
      'commit',
      ...(run === (both as Peers).podman ? ['-q', '-f', 'docker'] : []),
      '-m',
      'message',
      '-a',
      'author',
      '-c',
      'CMD ["cat","/opt/y"]',
      '-c',
      'ENV A=1',
      '-c',
      'ENV B=2',
      '-c',
      'LABEL l=m',
      '-c',
      'EXPOSE 80',
      '-c',
      'USER 1:1',
      '-c',
      'WORKDIR /new',
      '-c',
      'VOLUME /v',
      'cc',
      'localhost/committed:1',
    ]);
    t.is(commit.status, 0, commit.stderr);
    const ran = run(['run', '--rm', '--network=none', 'localhost/committed:1']);
    const listed = run([
      'run',
      '--rm',
      '--network=none',
      '-u',
      '0',
      'localhost/committed:1',
      'sh',
      '-c',
      "find / -xdev \\( -name proc -o -name sys -o -name dev -o -name .dockerenv -o -path /run -o -path /etc \\) -prune -o -printf '%p %y %m %U:%G %l %s\\n' | grep -v '^/ ' | grep -v '^[^ ]* d' | sort; echo $A-$B",
    ]);
    const config = run(['image', 'inspect', '-f', '{{json .Config}}', 'localhost/committed:1']).stdout;
    return {
      diff,
      status: commit.status,
      ran: [ran.status, ran.stdout],
      listed: listed.stdout,
      config: JSON.parse(config) as Record<string, unknown>,
      commit,
    };
  }) as {
    diff: string;
    status: number;
    ran: unknown[];
    listed: string;
    config: Record<string, unknown>;
    commit: { stderr: string; stdout: string };
  }[];
  const [mine, theirs] = [results[0]!, results[1]!];
  t.is(mine.status, 0, mine.commit.stderr);
  t.is(theirs.status, 0, theirs.commit.stderr);
  t.is(clean(sorted(mine.diff)), clean(sorted(theirs.diff)));
  t.deepEqual(mine.ran, [0, 'y\n']);
  t.deepEqual(mine.ran, theirs.ran);
  t.is(mine.listed, theirs.listed);
  for (const key of ['Cmd', 'User', 'WorkingDir', 'Volumes', 'ExposedPorts'])
    t.deepEqual(mine.config[key] ?? null, theirs.config[key] ?? null, key);
  const exported = [both.husk, both.podman].map((run) => {
    run(['export', '-o', 'out.tar', 'cc']);
    return (both as Peers).user.run([
      'sh',
      '-c',
      'tar -tvf out.tar --numeric-owner --time-style=+ 2>/dev/null | sed "s/,/ /; s:\\./::" | awk \'{print $1, $2, $NF}\' | grep -v -E " ([.]dockerenv|dev|proc|sys|run|etc)(/|$)" | sort; rm -f out.tar',
    ]).stdout;
  });
  t.is(exported[0], exported[1]);
});

const sorted = (text: string): string => text.split('\n').sort().join('\n');

test.serial('the same of a stopped container', (t) => {
  if (typeof both === 'string') return t.pass(both);
  const { user } = both;
  const [mine, theirs] = [both.husk, both.podman].map((run) => {
    run(['stop', '-t', '0', 'cc']);
    user.run(['sh', '-c', HERE]);
    const done = [
      ['here/dir', 'cc:/new'],
      ['here/file', 'cc:/new/d'],
      ['cc:/new/d/f', 'here/other'],
      ['cc:/opt', 'here'],
      ['cc:/nothing', 'here'],
    ].map((args) => run(['cp', ...args]).status === 0);
    run(['start', 'cc']);
    const there = run(['exec', 'cc', 'sh', '-c', TREE('/new', true)]).stdout;
    return { done, there, here: user.run(['sh', '-c', TREE('here', false)]).stdout };
  });
  t.deepEqual(mine, theirs);
});
