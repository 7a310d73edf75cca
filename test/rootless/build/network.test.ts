/** The networks of RUN steps. */
import { both } from './steps.ts';

both(
  'none, the default and the host',
  `
  const show = async (network) => (await step('ls /sys/class/net; grep -c . /etc/resolv.conf >/dev/null && echo resolver; cat /proc/sys/net/ipv4/ip_unprivileged_port_start', { how: { network } })).all.replaceAll('\\n', ' ');
  console.log(await show('none'));
  console.log((await show('default')).replace(/resolver ?/, ''));
  console.log((await show('host')).includes('lo'), fs.readdirSync('/sys/class/net').every((name) => name !== undefined));
`,
  /^lo (resolver )?0\neth0 lo 0\ntrue true\n$/,
);

both(
  "steps at the same time have addresses of their own, and each is given back; a server on the host's loopback is out of reach",
  `
  const { createServer } = await import('node:http');
  let asked = 0;
  const server = createServer((_, answer) => { asked++; answer.end('host'); }).listen(0, '127.0.0.1');
  await new Promise((listening) => server.once('listening', listening));
  const { port } = server.address();
  const address = "ip -o -4 addr show eth0 | sed 's/.*inet //; s/ .*//'";
  const script = address + '; wget -q -T 2 -O - http://127.0.0.1:' + port + ' 2>/dev/null || echo no';
  const both = await Promise.all([1, 2].map(() => step(script, { how: { network: 'default' } })));
  console.log(both.map(({ all }) => all.split('\\n').join(' ')).sort().join('; '), asked);
  console.log((await step(address, { how: { network: 'default' } })).all);
  server.close();
`,
  '172.17.0.2/16 no; 172.17.0.3/16 no 0\n172.17.0.2/16\n',
);
