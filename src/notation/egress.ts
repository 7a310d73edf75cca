/**
 * What `--egress` says: where a container may go, one rule each. A name of one label is that of a container on the
 * container's networks, one with dots is known to DNS (or to those networks: `db.backend`). Whom a name means is asked
 * when the container runs. Pure.
 */
import { contains, formatSubnet, parseCidr, parseIp, subnetOf, BITS, type IpAddress, type Subnet } from './ip.ts';

type EgressTarget =
  | { kind: 'none' | 'public' | 'host' }
  | { kind: 'subnet'; subnet: Subnet }
  /** lower case, no dot at its end */
  | { kind: 'name' | 'container'; name: string }
  /** every name that ends so, `.example.com`, but not `example.com` itself */
  | { kind: 'suffix'; suffix: string };

export interface PortSpan {
  first: number;
  last: number;
}

export interface EgressRule {
  /** as it was typed */
  text: string;
  to: EgressTarget;
  /** none: every port */
  ports: readonly PortSpan[];
  /** absent: TCP and UDP; and where no ports are named every other protocol as well */
  protocol?: 'tcp' | 'udp';
}

/** of one container: each is looked at for a connection that no rule before it allows */
const MOST_RULES = 256;
const MOST_SPANS = 16;
const MAX_PORT = 0xffff;
/** RFC 1035 §2.3.4: characters of a name as text, without the dot at its end */
const MAX_NAME = 253;
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;
const WORDS = ['none', 'public', 'host'] as const;
const PROTOCOLS = ['tcp', 'udp'] as const;

/**
 * All that one container is given. @throws Error for the first that cannot be read, or for what they cannot be at once
 */
export function parseEgress(texts: readonly string[]): EgressRule[] {
  if (texts.length > MOST_RULES) throw new Error(`--egress: ${texts.length} rules, at most ${MOST_RULES}`);
  const rules = texts.map(parseEgressRule);
  if (rules.length > 1 && rules.some(({ to }) => to.kind === 'none'))
    throw new Error('conflicting options: --egress none and other rules of --egress');
  return rules;
}

/**
 * Reads `none`, `example.com:443/tcp`, `*.example.com`, `10.0.0.0/8:80,8000-8010`, `[fd00::/8]:443`, `db:5432`, `host`.
 */
export function parseEgressRule(text: string): EgressRule {
  const wrong = (why: string): Error => new Error(`invalid egress rule ${JSON.stringify(text)}: ${why}`);
  if (text === '') throw wrong('it is empty');
  const [rest, protocol] = splitProtocol(text, wrong);
  const [target, ports] = splitPorts(rest, wrong);
  const to = readTarget(target, wrong);
  if (to.kind === 'none' && (ports !== undefined || protocol !== undefined)) throw wrong('none has no ports');
  return { text, to, ports: ports === undefined ? [] : readSpans(ports, wrong), ...(protocol && { protocol }) };
}

type Wrong = (why: string) => Error;

/** A slash before digits is a subnet's. */
function splitProtocol(text: string, wrong: Wrong): [rest: string, protocol: EgressRule['protocol']] {
  const [, rest, word] = /^(.*)\/([^/\]]*)$/s.exec(text) ?? [];
  if (rest === undefined || word === undefined || /^\d+(?::.*)?$/s.test(word)) return [text, undefined];
  const protocol = PROTOCOLS.find((each) => each === word.toLowerCase());
  // `fd00::/8:443`: whose colon it is cannot be known
  if (protocol === undefined) throw wrong(`protocol ${JSON.stringify(word)} is neither tcp nor udp`);
  return [rest, protocol];
}

/** An address of IPv6 with ports stands in brackets, as everywhere. */
function splitPorts(text: string, wrong: Wrong): [target: string, ports: string | undefined] {
  if (text.startsWith('[')) {
    const [, target, ports] = /^\[([^\]]*)\](?::(.*))?$/s.exec(text) ?? [];
    if (target === undefined || !target.includes(':'))
      throw wrong('brackets are for an address of IPv6: [fd00::/8]:443');
    return [target, ports];
  }
  if (parseIp(text) !== undefined || parseCidr(text) !== undefined) return [text, undefined];
  const colon = text.indexOf(':');
  if (colon < 0) return [text, undefined];
  if (text.includes(':', colon + 1)) throw wrong('an address of IPv6 with ports stands in brackets: [fd00::/8]:443');
  return [text.slice(0, colon), text.slice(colon + 1)];
}

function readTarget(text: string, wrong: Wrong): EgressTarget {
  const word = WORDS.find((each) => each === text);
  if (word !== undefined) return { kind: word };
  const address = parseIp(text);
  if (address !== undefined) return { kind: 'subnet', subnet: subnetOf(address, BITS[address.family]) };
  if (text.includes('/') || text.includes(':')) return { kind: 'subnet', subnet: readSubnet(text, wrong) };
  if (text === '*') throw wrong('for every public address write public');
  const isSuffix = text.startsWith('*.');
  const name = readName(isSuffix ? text.slice(2) : text, wrong);
  if (isSuffix) return { kind: 'suffix', suffix: `.${name}` };
  return { kind: name.includes('.') ? 'name' : 'container', name };
}

function readSubnet(text: string, wrong: Wrong): Subnet {
  const found = parseCidr(text);
  if (found === undefined) throw wrong(`${JSON.stringify(text)} is no address and no subnet`);
  if (found.address.value !== found.subnet.first) throw wrong(`it should be ${formatSubnet(found.subnet)}`);
  return found.subnet;
}

function readName(text: string, wrong: Wrong): string {
  const name = text.toLowerCase().replace(/\.$/, '');
  if (/[^\0-\x7f]/.test(name)) throw wrong('write the name as DNS has it (xn--…)');
  if (name.includes('*')) throw wrong('* stands for the first labels of a name: *.example.com');
  if (name === '' || name.length > MAX_NAME || !name.split('.').every((label) => LABEL.test(label)))
    throw wrong(`${JSON.stringify(text)} is no name`);
  // no top-level domain is a number: it is an address with a mistake
  if (/(^|\.)\d+$/.test(name) && name.includes('.')) throw wrong(`${JSON.stringify(text)} is no address`);
  return name;
}

function readSpans(text: string, wrong: Wrong): PortSpan[] {
  const parts = text.split(',');
  if (parts.length > MOST_SPANS) throw wrong(`${parts.length} ranges of ports, at most ${MOST_SPANS}`);
  return parts.map((part) => {
    const [, first, last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part) ?? [];
    const span = { first: Number(first), last: Number(last) };
    if (first === undefined || span.first < 1 || span.last > MAX_PORT || span.first > span.last)
      throw wrong(`${JSON.stringify(part)} is no port and no range of ports`);
    return span;
  });
}

/** Whether a rule means this name of DNS. @param name lower case, no dot at its end */
export function meansName({ to }: EgressRule, name: string): boolean {
  if (to.kind === 'name') return to.name === name;
  return to.kind === 'suffix' && name.endsWith(to.suffix) && name.length > to.suffix.length;
}

/** Whether a rule names this address itself, at some port. */
export function meansAddress({ to }: EgressRule, address: IpAddress): boolean {
  return to.kind === 'subnet' && contains(to.subnet, address);
}
