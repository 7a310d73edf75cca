/**
 * Programs as root of the user's namespace: as an ordinary user in a process of its own, and as whoever runs the tests
 * (root, in CI).
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { ordinaryUser, ROOT, type TestUser } from '../fixtures/user.ts';

/** Runs a module's code with `run(program, options?)` in scope: the output of a program in the namespace. */
function inNamespace(
  user: TestUser | undefined,
  code: string,
): { status: number | null; stdout: string; stderr: string } {
  const script = `
    const { runInUserNamespace } = await import(${JSON.stringify(join(ROOT, 'src/rootless/namespace.ts'))});
    const { removeTree, treeSize } = await import(${JSON.stringify(join(ROOT, 'src/rootless/trees.ts'))});
    const { mkdirSync, existsSync, writeFileSync, chmodSync, mkdtempSync, statSync } = await import('node:fs');
    const run = async (program, options = {}) => {
      const launched = runInUserNamespace({ program, stdout: 'pipe', ...options });
      let text = '';
      launched.stdout.setEncoding('utf8').on('data', (data) => (text += data));
      const ended = new Promise((resolve) => launched.stdout.once('close', resolve));
      await launched.started;
      const { code } = await launched.exited;
      await ended;
      return text + (code ? 'exit ' + code : '');
    };
    ${code}`;
  const command = [process.execPath, '--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script];
  return user ? user.run(command) : spawnSync(command[0]!, command.slice(1), { encoding: 'utf8' });
}

const AS_ROOT = process.getuid!() === 0;

test('an ordinary user is root of the namespace, with every id', (t) => {
  using user = ordinaryUser();
  const { stdout, stderr } = inNamespace(
    user,
    `
    console.log(await run(['cat', '/proc/self/uid_map']));
    console.log(await run(['sh', '-c', 'id -u; id -g; id -G; grep CapEff /proc/self/status']));
    console.log(await run(['sh', '-c', 'touch a && chown 1000:33 a && stat -c %u:%g a']));
    console.log(await run(['sh', '-c', 'mount -t tmpfs none /mnt && echo mounted; cat /proc/self/mountinfo | grep -c shared'], { mounts: true }));
  `,
  );
  t.is(stderr, '');
  const lines = stdout
    .trim()
    .split('\n')
    .map((line) => line.trim().replace(/\s+/g, ' '))
    .filter(Boolean);
  t.is(lines[0], `0 ${user.uid} 1`);
  t.regex(lines[1]!, /^1 \d+ \d+$/);
  t.deepEqual(lines.slice(2, 5), ['0', '0', '0']);
  t.regex(lines[5]!, /CapEff: 0*[1-9a-f]/);
  t.is(lines[6], '1000:33');
  t.deepEqual(lines.slice(7, 9), ['mounted', '0']);
});

test('a tree of subordinate owners is deleted', (t) => {
  using user = ordinaryUser();
  const { stdout, stderr } = inNamespace(
    user,
    `
    mkdirSync('tree/work/work', { recursive: true }); chmodSync('tree/work/work', 0);
    await run(['sh', '-c', 'mkdir -p tree/upper/var/db && echo x > tree/upper/var/db/f && ln -s /etc tree/upper/link && chown -R 100:100 tree/upper/var && chmod 700 tree/upper/var/db']);
    console.log(statSync('tree/upper/var').uid > 1000);
    await removeTree('tree');
    console.log(existsSync('tree'), existsSync('/etc/passwd'));
    mkdirSync('own/work/work', { recursive: true }); chmodSync('own/work/work', 0);
    process.env.PATH = '/nowhere';
    await removeTree('own'); // needs no namespace, or it would fail
    await removeTree('own'); // absent is fine
    console.log(existsSync('own'));
  `,
  );
  t.is(stderr, '');
  t.is(stdout, 'true\nfalse true\nfalse\n');
});

test('the size of a tree is that of its files, whoever they belong to and however deep they lie', (t) => {
  using user = ordinaryUser();
  const { stdout, stderr } = inNamespace(
    user,
    `
    // folders count nothing, a hard link once, a symbolic link the length of its target
    const files = 'printf 12345 >f; ln f g; ln -s target l; mkdir -p a/b; head -c 100000 /dev/zero >a/b/h';
    await run(['sh', '-c', 'mkdir own closed deep; cd own; ' + files]);
    await run(['sh', '-c', 'cd closed; ' + files + '; chown -R 100:100 a; chmod 700 a']);
    await run(['sh', '-c', 'cd deep; name=$(printf %0200d 0); for i in $(seq 60); do mkdir $name; cd -P ./$name; done; printf 123 >f']);
    console.log(await treeSize('own'), await treeSize('closed'), await treeSize('deep'), await treeSize('nosuch'));
    for (const tree of ['own', 'closed', 'deep']) await removeTree(tree);
  `,
  );
  t.is(stderr, '');
  t.is(stdout, '100011 100011 3 0\n');
});

test('a program that is not there is the error', (t) => {
  using user = ordinaryUser();
  const { stdout } = inNamespace(
    user,
    `try { await run(['no-such-program']); } catch (error) { console.log(error.message); }`,
  );
  t.regex(stdout, /no-such-program/);
});

(AS_ROOT ? test : test.skip)("host root is never the namespace's root", (t) => {
  const { stdout, stderr } = inNamespace(
    undefined,
    `
    console.log(await run(['cat', '/proc/self/uid_map']));
    console.log(await run(['sh', '-c', 'id -u; cat /etc/shadow; echo x > /etc/husk-test-x']), 'end');
  `,
  );
  t.regex(stdout, /^\s*0 +[1-9]\d+ +65536\n/);
  t.true(stdout.includes('\n0\nexit') || stdout.includes('\n0\n'), stdout);
  t.regex(stderr, /shadow: Permission denied/);
  t.false(existsSync('/etc/husk-test-x'));
});
