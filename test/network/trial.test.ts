/** What networks need of a kernel, tried: all of it here, and each part that is missing is named. */
import test from 'ava';
import { ABLE, laboratory, WHO } from './namespaces.ts';
import { AS_ROOT, asRoot, asUser } from '../rootless/containers.ts';

const real = ABLE ? test : test.skip;

for (const [who, run] of [
  ['user', asUser],
  ['root', asRoot],
] as const)
  (who === 'root' && !AS_ROOT ? test.skip : test)(`a trial finds what there is, and leaves nothing (${who})`, (t) => {
    const { stdout, stderr } = run(`
      const { tryNetwork } = await load('network/trial.ts');
      const descriptors = () => fs.readdirSync('/proc/self/fd').map((fd) => { try { return fs.readlinkSync('/proc/self/fd/' + fd); } catch { return ''; } }).filter((link) => /^(net|user):|NETLINK/.test(link));
      const before = fs.readdirSync(resolve('.')).length;
      const missing = await tryNetwork();
      console.log(JSON.stringify({ missing, left: descriptors(), files: fs.readdirSync(resolve('.')).length - before }));
      process.exit();
    `);
    t.is(stderr, '');
    t.deepEqual(JSON.parse(stdout), { missing: [], left: [], files: 0 });
  });

for (const who of WHO)
  real(`each part that a kernel has not is named, and the others are tried all the same (${who})`, (t) => {
    const found = laboratory(who, async (lab) => {
      // by the modules that each takes, after which the trial's tables are called
      const expressions = [
        'nft_ct',
        'nft_socket',
        'nft_connlimit',
        'nft_reject_inet',
        'nft_chain_nat nft_masq',
        'nft_limit',
        'nft_log nfnetlink_log',
      ];
      const asked = {
        bridge: 'add link br0',
        veth: 'add link v0',
        nf_tables: '(bridge trial)',
        ...Object.fromEntries(expressions.map((name) => [name, `(inet ${name})`])),
      };
      const missing: Record<string, string[]> = {};
      for (const [part, words] of Object.entries(asked)) {
        const sockets = lab.lacking(await lab.namespace(), words);
        missing[part] = lab.missingParts(sockets).map(({ modules }) => modules);
      }
      return missing;
    });
    for (const [part, missing] of Object.entries(found)) t.deepEqual(missing, [part]);
    t.is(Object.keys(found).length, 10);
  });
