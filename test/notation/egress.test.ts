/** Rules of --egress: what each form means, and every refusal. */
import test from 'ava';
import { meansAddress, meansName, parseEgress, parseEgressRule } from '../../src/notation/egress.ts';
import { formatSubnet, parseIp } from '../../src/notation/ip.ts';

/** `kind:what ports protocol` */
function shown(text: string): string {
  const { to, ports, protocol } = parseEgressRule(text);
  const what =
    to.kind === 'subnet' ? formatSubnet(to.subnet) : 'name' in to ? to.name : 'suffix' in to ? to.suffix : undefined;
  const spans = ports.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`)).join(',');
  return [what === undefined ? to.kind : `${to.kind} ${what}`, spans, protocol].filter(Boolean).join(' ');
}

const READ: Record<string, string> = {
  none: 'none',
  public: 'public',
  'public:443': 'public 443',
  host: 'host',
  'host:5432/tcp': 'host 5432 tcp',
  'example.com': 'name example.com',
  'EXAMPLE.com.': 'name example.com',
  'example.com:443': 'name example.com 443',
  'example.com/udp': 'name example.com udp',
  'example.com:443/TCP': 'name example.com 443 tcp',
  'example.com:80,443,8000-8010': 'name example.com 80,443,8000-8010',
  '_dmarc.x-y.example.com': 'name _dmarc.x-y.example.com',
  'xn--bcher-kva.example': 'name xn--bcher-kva.example',
  '*.example.com:443': 'suffix .example.com 443',
  '*.com': 'suffix .com',
  db: 'container db',
  'DB:5432/tcp': 'container db 5432 tcp',
  '42': 'container 42',
  my_db: 'container my_db',
  'db.backend:5432': 'name db.backend 5432',
  '10.0.0.0/8': 'subnet 10.0.0.0/8',
  '10.0.0.0/8:443': 'subnet 10.0.0.0/8 443',
  '10.0.0.0/8/udp': 'subnet 10.0.0.0/8 udp',
  '10.0.0.0/8:53/udp': 'subnet 10.0.0.0/8 53 udp',
  '192.0.2.7': 'subnet 192.0.2.7/32',
  '192.0.2.7:80': 'subnet 192.0.2.7/32 80',
  '0.0.0.0/0:1-65535': 'subnet 0.0.0.0/0 1-65535',
  '2001:db8::1': 'subnet 2001:db8::1/128',
  'fd00::/8': 'subnet fd00::/8',
  'fd00::/8/tcp': 'subnet fd00::/8 tcp',
  '[fd00::/8]:443': 'subnet fd00::/8 443',
  '[2001:db8::1]:443/tcp': 'subnet 2001:db8::1/128 443 tcp',
  '[2001:db8::1]': 'subnet 2001:db8::1/128',
  '::ffff:192.0.2.7': 'subnet 192.0.2.7/32',
};
for (const [text, meaning] of Object.entries(READ)) test(`${text}: ${meaning}`, (t) => t.is(shown(text), meaning));

const BRACKETS = 'an address of IPv6 with ports stands in brackets: [fd00::/8]:443';
const REFUSED: Record<string, string> = {
  '': 'it is empty',
  'none:80': 'none has no ports',
  'none/tcp': 'none has no ports',
  '*': 'for every public address write public',
  '*.': '"" is no name',
  'a.*.com': '* stands for the first labels of a name: *.example.com',
  '*example.com': '* stands for the first labels of a name: *.example.com',
  'bücher.example': 'write the name as DNS has it (xn--…)',
  'a..b': '"a..b" is no name',
  '-a.com': '"-a.com" is no name',
  'a-.com': '"a-.com" is no name',
  'a b.com': '"a b.com" is no name',
  '.': '"." is no name',
  'example.com/sctp': 'protocol "sctp" is neither tcp nor udp',
  'example.com/': 'protocol "" is neither tcp nor udp',
  'example.com:': '"" is no port and no range of ports',
  'example.com:0': '"0" is no port and no range of ports',
  'example.com:65536': '"65536" is no port and no range of ports',
  'example.com:90-80': '"90-80" is no port and no range of ports',
  'example.com:80,': '"" is no port and no range of ports',
  'example.com:http': '"http" is no port and no range of ports',
  'https://example.com': 'protocol "example.com" is neither tcp nor udp',
  'a:1:2': BRACKETS,
  '2001:db8::1:g': BRACKETS,
  '[example.com]:80': 'brackets are for an address of IPv6: [fd00::/8]:443',
  '[fd00::1': 'brackets are for an address of IPv6: [fd00::/8]:443',
  '[fd00::1]80': 'brackets are for an address of IPv6: [fd00::/8]:443',
  '[fd00::1%eth0]': '"fd00::1%eth0" is no address and no subnet',
  '10.0.0.7/8': 'it should be 10.0.0.0/8',
  '10.0.0.0/33': '"10.0.0.0/33" is no address and no subnet',
  'fd00::1/8': 'it should be fd00::/8',
  '10.0.0': '"10.0.0" is no address',
  '1.2.3.256': '"1.2.3.256" is no address',
  'example.com\n': '"example.com\\n" is no name',
};
for (const [text, why] of Object.entries(REFUSED))
  test(`${JSON.stringify(text)} is refused: ${why}`, (t) => {
    t.is(t.throws(() => parseEgressRule(text))?.message, `invalid egress rule ${JSON.stringify(text)}: ${why}`);
  });

test('names, labels and lists of ports have ends', (t) => {
  const label = 'a'.repeat(63);
  t.is(shown(`${label}.com`), `name ${label}.com`);
  for (const long of [`${label}a.com`, `${`${label}.`.repeat(4)}com`])
    t.regex(t.throws(() => parseEgressRule(long))!.message, /is no name$/);
  const ports = (count: number) => Array.from({ length: count }, (_, index) => index + 1).join(',');
  t.is(parseEgressRule(`a.com:${ports(16)}`).ports.length, 16);
  t.regex(t.throws(() => parseEgressRule(`a.com:${ports(17)}`))!.message, /17 ranges of ports, at most 16$/);
});

test('of several rules: none stands alone, and there is an end', (t) => {
  t.is(parseEgress(['none']).length, 1);
  t.is(parseEgress(Array<string>(256).fill('db')).length, 256);
  t.is(
    t.throws(() => parseEgress(['none', 'db']))?.message,
    'conflicting options: --egress none and other rules of --egress',
  );
  t.is(t.throws(() => parseEgress(Array<string>(257).fill('db')))?.message, '--egress: 257 rules, at most 256');
});

test('which names and addresses a rule means', (t) => {
  const name = (rule: string, asked: string) => meansName(parseEgressRule(rule), asked);
  t.true(name('example.com', 'example.com'));
  t.false(name('example.com', 'www.example.com'));
  t.false(name('example.com', 'example.com.evil.org'));
  t.true(name('*.example.com', 'www.example.com'));
  t.true(name('*.example.com', 'a.b.example.com'));
  t.false(name('*.example.com', 'example.com'));
  t.false(name('*.example.com', 'notexample.com'));
  t.false(name('*.example.com', '.example.com'));
  t.false(name('db', 'db'));
  t.false(name('public', 'example.com'));
  const address = (rule: string, asked: string) => meansAddress(parseEgressRule(rule), parseIp(asked)!);
  t.true(address('10.0.0.0/8:443', '10.1.2.3'));
  t.false(address('10.0.0.0/8', '11.0.0.1'));
  t.false(address('::/0', '10.0.0.1'));
  t.false(address('host', '10.0.0.1'));
});
