/** What `doctor` says of networks, of kernels that have more and less. */
import test from 'ava';
import { networks } from '../../../src/engine/look/doctor.ts';
import { HuskError } from '../../../src/errors.ts';

const lacking = (...modules: string[]) =>
  networks(async () => modules.map((module) => ({ modules: module, reason: 'no such file or directory' })));

test('all is there', async (t) =>
  t.deepEqual(
    (await lacking()).map(({ name, status, fix }) => [name, status, fix]),
    [
      ['network trial', 'ok', undefined],
      ['client addresses', 'ok', undefined],
      ['egress log', 'ok', undefined],
    ],
  ));

test('without nft_socket networks are well, and clients are not seen', async (t) => {
  const [trial, clients] = await lacking('nft_socket');
  t.is(trial!.status, 'ok');
  t.is(clients!.status, 'warn');
  t.regex(clients!.value, /gateway as the client.*nft_socket \(no such file or directory\)$/);
  t.regex(clients!.fix!, /^sudo modprobe -a nft_socket /);
});

for (const modules of ['nft_limit', 'nft_log nfnetlink_log'])
  test(`without ${modules} networks are well, and what --egress refuses is not logged`, async (t) => {
    const [trial, clients, log] = await lacking(modules);
    t.deepEqual([trial!.status, clients!.status, log!.status], ['ok', 'ok', 'warn']);
    t.is(
      log!.value,
      `what --egress refuses cannot be logged: the kernel has no ${modules} (no such file or directory)`,
    );
    t.is(log!.fix, `sudo modprobe -a ${modules} (if there is none: a kernel that has them)`);
  });

test('what is missing is named with one line to get it', async (t) => {
  const [trial] = await lacking('bridge', 'nft_chain_nat nft_masq', 'nft_socket');
  t.is(trial!.status, 'warn');
  t.regex(trial!.fix!, /^sudo modprobe -a bridge nft_chain_nat nft_masq \(/);
});

test('without a packet filter nothing is said of what it would do', async (t) =>
  t.deepEqual(
    (await lacking('nf_tables')).map(({ name }) => name),
    ['network trial'],
  ));

test('where there can be no namespaces the reason is said', async (t) =>
  t.deepEqual(
    await networks(() => Promise.reject(new HuskError('cannot make it', { kind: 'unsupported', fix: 'sudo x' }))),
    [{ name: 'network trial', status: 'warn', value: 'cannot make it', fix: 'sudo x' }],
  ));
