/** What the config says of networks, as a person at a terminal has it. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { busyboxTar, missingImageTools } from '../../fixtures/images.ts';
import { HUSK, ROOT } from '../../fixtures/user.ts';
import { people } from './people.ts';

const ready = existsSync(join(ROOT, 'dist/husk.cjs')) && missingImageTools() === undefined;
const everybody = ready ? people() : [];
test.after.always(() => everybody.forEach((person) => person[Symbol.dispose]()));

const CONFIG = {
  'default-isolation': 'userns',
  bip: '10.91.0.1/24',
  mtu: 1400,
  ip: '127.0.0.1',
  dns: ['192.0.2.53'],
  'default-address-pools': [{ base: '10.92.0.0/16', size: 24 }],
  'host-gateway-ip': '192.0.2.9',
};

for (const person of everybody)
  test(`bip, mtu, ip, dns, pools and the host's address (${person.name})`, (t) => {
    const says = (...args: string[]): string => {
      const { status, stdout, stderr } = person.run([
        'sh',
        '-c',
        'HUSK_CONFIG=$PWD/c.json exec "$@"',
        'sh',
        HUSK,
        ...args,
      ]);
      t.is(status, 0, `${args.join(' ')}: ${stderr}`);
      return stdout.trim();
    };
    const write = (command: string, input: string | Buffer) =>
      t.is(person.run(['sh', '-c', command], { input }).status, 0);
    write('cat >c.json', JSON.stringify(CONFIG));
    write('cat >i.tar', readFileSync(busyboxTar()));
    says('import', 'i.tar', 'box');
    const look = 'ip -4 -o addr show eth0; ip link show eth0; ip route; cat /etc/resolv.conf; grep gate /etc/hosts';
    says('run', '-d', '--name=box', '-p=7', '--add-host=gate:host-gateway', 'box', 'sh', '-c', 'sleep 1000');
    const printed = says('exec', 'box', 'sh', '-c', look);
    t.regex(printed, /inet 10\.91\.0\.2\/24 /);
    t.regex(printed, /mtu 1400 /);
    t.regex(printed, /default via 10\.91\.0\.1 /);
    t.regex(printed, /^nameserver 192\.0\.2\.53$/m);
    t.regex(printed, /^192\.0\.2\.9\tgate$/m);
    t.regex(says('port', 'box'), /^7\/tcp -> 127\.0\.0\.1:\d+$/);
    says('network', 'create', 'own');
    t.is(
      says('network', 'inspect', '-f', '{{(index .IPAM.Config 0).Subnet}} {{(index .IPAM.Config 0).Gateway}}', 'own'),
      '10.92.0.0/24 10.92.0.1',
    );
    says('rm', '-f', 'box');
  });
