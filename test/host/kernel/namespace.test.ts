/** Namespaces by descriptor: of the namespace this process is in, and of one inside of it. */
import { spawnSync } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { open } from '../../../src/host/fd.ts';
import { namespaceName, namespaceOwner, parentNamespace } from '../../../src/host/kernel/namespace.ts';
import { ROOT } from '../../fixtures/user.ts';

test('a name is that of readlink, and an owner a uid', (t) => {
  using own = open('/proc/self/ns/user', 0);
  t.is(namespaceName(own.number), readlinkSync('/proc/self/ns/user'));
  t.true(Number.isInteger(namespaceOwner(own.number)));
});

test('what is around this namespace is not to be had, nor that of another kind', (t) => {
  using own = open('/proc/self/ns/user', 0);
  using network = open('/proc/self/ns/net', 0);
  t.throws(() => parentNamespace(own.number), { code: 'EPERM' });
  t.throws(() => parentNamespace(network.number), { code: 'EINVAL' });
  t.throws(() => namespaceOwner(network.number), { code: 'EINVAL' });
});

test('the namespace around another is this one', (t) => {
  const script = `
    const { open } = await import(${JSON.stringify(join(ROOT, 'src/host/fd.ts'))});
    const { namespaceName, namespaceOwner, parentNamespace } = await import(${JSON.stringify(join(ROOT, 'src/host/kernel/namespace.ts'))});
    const { spawn } = await import('node:child_process');
    const child = spawn('unshare', ['-U', 'sh', '-c', 'echo ready; read end']);
    await new Promise((ready) => child.stdout.once('data', ready));
    const theirs = open('/proc/' + child.pid + '/ns/user', 0), own = open('/proc/self/ns/user', 0);
    console.log(namespaceName(parentNamespace(theirs.number).number) === namespaceName(own.number), namespaceOwner(theirs.number) === process.getuid());
    child.stdin.end();`;
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script],
    {
      encoding: 'utf8',
    },
  );
  t.is(stderr, '');
  t.is(stdout, 'true true\n');
});
