/** A network that is opened: furnished, kept, and mended each time that somebody opens it. */
import { inNetworks } from './networks-inside.ts';

inNetworks(
  'what is missing of a network is there again when the next one opens it, and what is there is left alone',
  `
  const network = make('mended');
  const endpoint = lease(network, 'aa');
  const first = await openActiveNetwork(network, host);
  const list = (...flags) => inside(first, 'nft', ...flags, 'list', 'ruleset');
  const whole = await list('-a');
  const open = async () => { using again = await openActiveNetwork(network, host); return again.keeper.pid; };
  const keeper = await open();
  const untouched = (await list('-a')) === whole;
  const plain = await list();
  const chain = await inside(first, 'nft', '-a', 'list', 'chain', 'inet', 'husk', 'input');
  const [, handle] = /goto refused # handle (\\d+)/.exec(chain) ?? (() => { throw new Error('no such rule in: ' + chain); })();
  await inside(first, 'nft', 'delete', 'rule', 'inet', 'husk', 'input', 'handle', handle);
  const spoilt = (await list()) !== plain;
  await open();
  const rule = (await list()) === plain;
  await inside(first, 'nft', 'flush', 'set', 'bridge', 'husk', 'own4');
  await inside(first, 'ip', 'address', 'flush', 'dev', 'br0');
  await inside(first, 'ip', 'rule', 'delete', 'pref', '100');
  await open();
  const element = (await list()) === plain && plain.includes(endpoint.ipv4.address);
  const address = (await inside(first, 'ip', '-4', '-o', 'address', 'show', 'br0')).includes('10.9.0.1/16');
  const routed = (await inside(first, 'ip', 'rule')).startsWith('0:') && (await inside(first, 'ip', 'rule')).includes('100:');
  console.log(JSON.stringify({ kept: keeper === first.keeper.pid, untouched, spoilt, rule, element, address, routed }));
  await endKeeper(first);
  process.exit();
`,
  (t, found) =>
    t.deepEqual(found, {
      kept: true,
      untouched: true,
      spoilt: true,
      rule: true,
      element: true,
      address: true,
      routed: true,
    }),
);

inNetworks(
  'a keeper that was killed is made again, and the namespace is the same one as long as somebody has it',
  `
  const network = make('kept');
  const first = await openActiveNetwork(network, host);
  const called = (active) => fs.readlinkSync('/proc/self/fd/' + active.namespace.number);
  await endKeeper(first);
  const second = await openActiveNetwork(network, host);
  const same = called(first) === called(second);
  const another = second.keeper.pid !== first.keeper.pid && isAlive(second.keeper);
  await endKeeper(second);
  console.log(JSON.stringify({ same, another }));
  process.exit();
`,
  (t, found) => t.deepEqual(found, { same: true, another: true }),
);

inNetworks(
  'a network that was removed meanwhile is told, and one that another husk has furnished is furnished anew',
  `
  const network = make('gone');
  const first = await openActiveNetwork(network, host);
  const plain = await inside(first, 'nft', 'list', 'ruleset');
  await inside(first, 'nft', 'flush', 'chain', 'inet', 'husk', 'forward');
  // as if it had been furnished so, by a husk that does
  database.prepare('UPDATE network_runtime SET version = 1').run();
  (await openActiveNetwork(network, host))[Symbol.dispose]();
  const anew = (await inside(first, 'nft', 'list', 'ruleset')) === plain;
  console.log(JSON.stringify({ anew }));
  await endKeeper(first);
  process.exit();
`,
  (t, found) => t.deepEqual(found, { anew: true }),
);
