/**
 * Batches of changes to nf_tables: tables, chains, rules, sets and their elements, encoded as they are named, and given
 * to the kernel at once, which carries out all of a batch or nothing. What exists already is left as it is, except that
 * rules are always added: a batch that flushes a chain before it adds its rules may be committed any number of times.
 * Numbers are of include/uapi/linux/netfilter/{nf_tables,nfnetlink}.h. The rules themselves are for others to say.
 */
import type { Fd } from '../fd.ts';
import { attribute, be32, be64, cString, nested, readAttributes, readList, textOf, u32 } from './netlink-attributes.ts';
import { NetlinkSocket, type NetlinkRequest } from './netlink-socket.ts';
import {
  NFTA_DATA_VALUE,
  NFTA_LIST_ELEM,
  verdictChain,
  verdictData,
  type Expression,
  type Verdict,
} from './nftables-expressions.ts';

const NLM_F_CREATE = 0x400;
const NLM_F_APPEND = 0x800;

const NFNL_SUBSYS_NFTABLES = 10;
const NFNL_MSG_BATCH_BEGIN = 0x10;
const NFNL_MSG_BATCH_END = 0x11;
/** bits to the left of a message's type */
const SUBSYSTEM = 8;

const NFT_MSG_NEWTABLE = 0;
const NFT_MSG_DELTABLE = 2;
const NFT_MSG_NEWCHAIN = 3;
const NFT_MSG_DELCHAIN = 5;
const NFT_MSG_NEWRULE = 6;
const NFT_MSG_DELRULE = 8;
const NFT_MSG_NEWSET = 9;
const NFT_MSG_GETSET = 10;
const NFT_MSG_DELSET = 11;
const NFT_MSG_NEWSETELEM = 12;
const NFT_MSG_GETSETELEM = 13;
const NFT_MSG_DELSETELEM = 14;

const NFTA_TABLE_NAME = 1;
const NFTA_CHAIN_TABLE = 1;
const NFTA_CHAIN_NAME = 3;
const NFTA_CHAIN_HOOK = 4;
const NFTA_CHAIN_POLICY = 5;
const NFTA_CHAIN_TYPE = 7;
const NFTA_HOOK_HOOKNUM = 1;
const NFTA_HOOK_PRIORITY = 2;
const NFTA_RULE_TABLE = 1;
const NFTA_RULE_CHAIN = 2;
const NFTA_RULE_EXPRESSIONS = 4;
const NFTA_SET_TABLE = 1;
const NFTA_SET_NAME = 2;
const NFTA_SET_FLAGS = 3;
const NFTA_SET_KEY_TYPE = 4;
const NFTA_SET_KEY_LEN = 5;
const NFTA_SET_DATA_TYPE = 6;
const NFTA_SET_DESC = 9;
const NFTA_SET_ID = 10;
const NFTA_SET_TIMEOUT = 11;
const NFTA_SET_USERDATA = 13;
const NFTA_SET_DESC_SIZE = 1;
const NFTA_SET_DESC_CONCAT = 2;
const NFTA_SET_FIELD_LEN = 1;
const NFTA_SET_ELEM_LIST_TABLE = 1;
const NFTA_SET_ELEM_LIST_SET = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS = 3;
const NFTA_SET_ELEM_KEY = 1;
const NFTA_SET_ELEM_DATA = 2;
const NFTA_SET_ELEM_FLAGS = 3;
const NFTA_SET_ELEM_TIMEOUT = 4;
const NFTA_SET_ELEM_USERDATA = 6;
const NFTA_SET_ELEM_KEY_END = 10;
const NFT_SET_ELEM_INTERVAL_END = 1;
const NFT_SET_INTERVAL = 4;
const NFT_SET_MAP = 8;
const NFT_SET_TIMEOUT = 0x10;
const NFT_SET_EVAL = 0x20;
const NFT_SET_CONCAT = 0x80;
const NFT_DATA_VERDICT = 0xffffff00;

/** linux/netfilter.h: NFPROTO_* */
const FAMILIES = { inet: 1, ip: 2, bridge: 7, ip6: 10 };
/** linux/netfilter.h, linux/netfilter_bridge.h: the same numbers */
const HOOKS = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 };
/** linux/netfilter.h: NF_DROP, NF_ACCEPT */
const POLICIES = { drop: 0, accept: 1 };
/** nft(8)'s numbers for types of keys (its include/datatype.h), which the kernel only keeps, and their bytes */
const KEY_TYPES = {
  ipv4_addr: { id: 7, bytes: 4 },
  ipv6_addr: { id: 8, bytes: 16 },
  ether_addr: { id: 9, bytes: 6 },
  inet_proto: { id: 12, bytes: 1 },
  inet_service: { id: 13, bytes: 2 },
  ifname: { id: 41, bytes: 16 },
};
/** what nft(8) notes to list a range without end as it was written: NFTNL_UDATA_SET_ELEM_FLAGS, 4 bytes, a u32 flag */
const INTERVAL_OPEN = Uint8Array.of(1, 4, 1, 0, 0, 0);
/** what nft(8) notes to list keys that are strings: NFTNL_UDATA_SET_KEYBYTEORDER, 4 bytes, its BYTEORDER_HOST_ENDIAN */
const KEY_OF_HOST_ORDER = Uint8Array.of(0, 4, 1, 0, 0, 0);
/** bits of each type in the number of a concatenation (nft's TYPE_BITS) */
const TYPE_BITS = 6;
/** bytes of struct nfgenmsg: family, version, resource */
const GENERAL_MESSAGE = 4;
/** bytes of a register, to which the fields of a concatenation are padded */
const REGISTER = 4;
/** elements in one message, whose list must not be longer than an attribute: 64 KiB */
const MOST_ELEMENTS = 256;

type KeyType = keyof typeof KEY_TYPES;

export interface Table {
  family: keyof typeof FAMILIES;
  name: string;
}

/** What hooks a chain into the kernel; without it a chain is only jumped to. */
export interface Hook {
  type: 'filter' | 'nat' | 'route';
  hook: keyof typeof HOOKS;
  /** lower ones come first */
  priority: number;
  policy: keyof typeof POLICIES;
}

export interface SetOptions {
  /** one field, or several that are compared together */
  key: readonly KeyType[];
  /** elements are ranges */
  interval?: boolean;
  /** elements are made by packets */
  dynamic?: boolean;
  /** elements may have a time to live; ms that those have which name none, 0: for ever */
  timeout?: number;
  /** elements */
  size?: number;
}

export interface Element {
  /** of several fields: as `concatenate` makes it */
  key: Uint8Array;
  /** of a set of ranges over several fields: the last key of the range */
  last?: Uint8Array;
  /** of a set of ranges over one field: the range before ends here, and the key is the first one outside */
  end?: boolean;
  /** of such a set: the range from here goes to the last key there is */
  open?: boolean;
  /** of a verdict map */
  verdict?: Verdict;
  /** ms to live */
  timeout?: number;
}

/** A netfilter socket of one network namespace. */
export class NetfilterSocket extends NetlinkSocket {
  /** @param fd of whatever namespace it was made in; closed with this object @throws SyscallError */
  constructor(fd: Fd) {
    super(fd, 'nf_tables');
  }

  /** Of the network namespace this thread is in. @throws SyscallError */
  static open(): NetfilterSocket {
    return new NetfilterSocket(NetlinkSocket.make('nf_tables'));
  }
}

export class NftablesBatch {
  readonly #requests: NetlinkRequest[] = [];

  table(table: Table): this {
    return this.#add(NFT_MSG_NEWTABLE, table, [attribute(NFTA_TABLE_NAME, cString(table.name))], 'add table');
  }

  /** Also when there is none. */
  removeTable(table: Table): this {
    const name = [attribute(NFTA_TABLE_NAME, cString(table.name))];
    return this.table(table).#add(NFT_MSG_DELTABLE, table, name, 'delete table', 0);
  }

  chain(table: Table, name: string, base?: Hook): this {
    const hook = base && [
      nested(
        NFTA_CHAIN_HOOK,
        attribute(NFTA_HOOK_HOOKNUM, be32(HOOKS[base.hook])),
        attribute(NFTA_HOOK_PRIORITY, be32(base.priority)),
      ),
      attribute(NFTA_CHAIN_POLICY, be32(POLICIES[base.policy])),
      attribute(NFTA_CHAIN_TYPE, cString(base.type)),
    ];
    const names = [attribute(NFTA_CHAIN_TABLE, cString(table.name)), attribute(NFTA_CHAIN_NAME, cString(name))];
    return this.#add(NFT_MSG_NEWCHAIN, table, [...names, ...(hook ?? [])], `add chain ${name}`);
  }

  /** With its rules, and also when there is none. No rule and no element may lead to it. */
  removeChain(table: Table, name: string): this {
    this.chain(table, name).flushChain(table, name);
    const names = [attribute(NFTA_CHAIN_TABLE, cString(table.name)), attribute(NFTA_CHAIN_NAME, cString(name))];
    return this.#add(NFT_MSG_DELCHAIN, table, names, `delete chain ${name}`, 0);
  }

  /** Takes all rules from a chain. */
  flushChain(table: Table, chain: string): this {
    const names = [attribute(NFTA_RULE_TABLE, cString(table.name)), attribute(NFTA_RULE_CHAIN, cString(chain))];
    return this.#add(NFT_MSG_DELRULE, table, names, `flush chain ${chain}`, 0);
  }

  /** At the chain's end. */
  rule(table: Table, chain: string, ...expressions: readonly (Expression | readonly Expression[])[]): this {
    const parts = [
      attribute(NFTA_RULE_TABLE, cString(table.name)),
      attribute(NFTA_RULE_CHAIN, cString(chain)),
      nested(NFTA_RULE_EXPRESSIONS, ...(expressions.flat() as Expression[])),
    ];
    return this.#add(NFT_MSG_NEWRULE, table, parts, `add a rule to ${chain}`, NLM_F_CREATE | NLM_F_APPEND);
  }

  set(table: Table, name: string, options: SetOptions): this {
    return this.#set(table, name, options, 0, []);
  }

  /** A set whose elements say what is to be done. */
  verdictMap(table: Table, name: string, options: SetOptions): this {
    return this.#set(table, name, options, NFT_SET_MAP, [attribute(NFTA_SET_DATA_TYPE, be32(NFT_DATA_VERDICT))]);
  }

  /** With its elements. No rule may look into it. */
  removeSet(table: Table, name: string): this {
    const names = [attribute(NFTA_SET_TABLE, cString(table.name)), attribute(NFTA_SET_NAME, cString(name))];
    return this.#add(NFT_MSG_DELSET, table, names, `delete set ${name}`, 0);
  }

  flushSet(table: Table, set: string): this {
    return this.#add(NFT_MSG_DELSETELEM, table, elementNames(table, set), `flush set ${set}`, 0);
  }

  addElements(table: Table, set: string, elements: readonly Element[]): this {
    return this.#elements(NFT_MSG_NEWSETELEM, table, set, elements, 'add to set', NLM_F_CREATE);
  }

  /** Also those that are not there: they are added first. */
  removeElements(table: Table, set: string, elements: readonly Element[]): this {
    return this.addElements(table, set, elements).removePresent(table, set, elements);
  }

  /** Only those that are there. */
  removePresent(table: Table, set: string, elements: readonly Element[]): this {
    const keys = elements.map(({ key, last, end }) => ({ key, ...(last && { last }), ...(end && { end }) }));
    return this.#elements(NFT_MSG_DELSETELEM, table, set, keys, 'remove from set', 0);
  }

  /** All of it or nothing. @throws NetlinkError that names the first change which the kernel refused */
  commit(socket: NetfilterSocket): void {
    if (this.#requests.length === 0) return;
    const [begin, end] = [NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END].map((type) => ({
      type,
      body: [generalMessage(0, NFNL_SUBSYS_NFTABLES)],
      asked: 'commit',
    }));
    // the last change is what is acknowledged, for older kernels do not answer to the end of a batch
    socket.transaction([begin!, ...this.#requests, end!], this.#requests.length);
  }

  #set(table: Table, name: string, options: SetOptions, kind: number, data: readonly Uint8Array[]): this {
    const { key, interval, dynamic, timeout, size } = options;
    const several = key.length > 1;
    // only of ranges must the kernel know the fields one by one
    const ranges = several && interval;
    const flags =
      kind |
      (interval ? NFT_SET_INTERVAL : 0) |
      (ranges ? NFT_SET_CONCAT : 0) |
      (dynamic ? NFT_SET_EVAL : 0) |
      (timeout === undefined ? 0 : NFT_SET_TIMEOUT);
    const lengths = key.map((type) => (several ? padded(KEY_TYPES[type].bytes) : KEY_TYPES[type].bytes));
    const fields = key.map((type) =>
      nested(NFTA_LIST_ELEM, attribute(NFTA_SET_FIELD_LEN, be32(KEY_TYPES[type].bytes))),
    );
    const description = [
      ...(size === undefined ? [] : [attribute(NFTA_SET_DESC_SIZE, be32(size))]),
      ...(ranges ? [nested(NFTA_SET_DESC_CONCAT, ...fields)] : []),
    ];
    const parts = [
      attribute(NFTA_SET_TABLE, cString(table.name)),
      attribute(NFTA_SET_NAME, cString(name)),
      attribute(NFTA_SET_FLAGS, be32(flags)),
      attribute(NFTA_SET_KEY_TYPE, be32(key.reduce((all, type) => (all << TYPE_BITS) | KEY_TYPES[type].id, 0))),
      attribute(NFTA_SET_KEY_LEN, be32(lengths.reduce((sum, length) => sum + length, 0))),
      ...data,
      // by it others of the batch could name the set, but the kernel wants one in any case
      attribute(NFTA_SET_ID, u32(this.#requests.length + 1)),
      ...(timeout ? [attribute(NFTA_SET_TIMEOUT, be64(timeout))] : []),
      ...(key.length === 1 && key[0] === 'ifname' ? [attribute(NFTA_SET_USERDATA, KEY_OF_HOST_ORDER)] : []),
      ...(description.length > 0 ? [nested(NFTA_SET_DESC, ...description)] : []),
    ];
    return this.#add(NFT_MSG_NEWSET, table, parts, `add set ${name}`);
  }

  #elements(type: number, table: Table, set: string, elements: readonly Element[], asked: string, flags: number): this {
    for (let at = 0; at < elements.length; at += MOST_ELEMENTS) {
      const list = elements.slice(at, at + MOST_ELEMENTS).map(encodeElement);
      const parts = [...elementNames(table, set), nested(NFTA_SET_ELEM_LIST_ELEMENTS, ...list)];
      this.#add(type, table, parts, `${asked} ${set}`, flags);
    }
    return this;
  }

  #add(type: number, table: Table, parts: readonly Uint8Array[], asked: string, flags = NLM_F_CREATE): this {
    this.#requests.push({
      type: (NFNL_SUBSYS_NFTABLES << SUBSYSTEM) | type,
      flags,
      body: [generalMessage(FAMILIES[table.family], 0), ...parts],
      asked: `${asked} (${table.family} ${table.name})`,
    });
    return this;
  }
}

/** Where the elements of a verdict map lead to: of those that name a chain. @throws NetlinkError */
export function mapTargets(socket: NetfilterSocket, table: Table, map: string): { key: Buffer; chain: string }[] {
  const lists = socket.dump({
    type: (NFNL_SUBSYS_NFTABLES << SUBSYSTEM) | NFT_MSG_GETSETELEM,
    body: [generalMessage(FAMILIES[table.family], 0), ...elementNames(table, map)],
    asked: `list map ${map} (${table.family} ${table.name})`,
  });
  return lists.flatMap((body) => {
    const elements = readAttributes(body.subarray(GENERAL_MESSAGE)).get(NFTA_SET_ELEM_LIST_ELEMENTS);
    return (elements ? readList(elements) : []).flatMap((element) => {
      const parts = readAttributes(element);
      const [key, data] = [parts.get(NFTA_SET_ELEM_KEY), parts.get(NFTA_SET_ELEM_DATA)];
      const value = key && readAttributes(key).get(NFTA_DATA_VALUE);
      const chain = data && verdictChain(data);
      return value && chain !== undefined ? [{ key: value, chain }] : [];
    });
  });
}

/** The names of a table's sets and maps. @throws NetlinkError */
export function setNames(socket: NetfilterSocket, table: Table): string[] {
  const sets = socket.dump({
    type: (NFNL_SUBSYS_NFTABLES << SUBSYSTEM) | NFT_MSG_GETSET,
    body: [generalMessage(FAMILIES[table.family], 0), attribute(NFTA_SET_TABLE, cString(table.name))],
    asked: `list sets (${table.family} ${table.name})`,
  });
  return sets.flatMap((body) => {
    const name = readAttributes(body.subarray(GENERAL_MESSAGE)).get(NFTA_SET_NAME);
    return name ? [textOf(name)] : [];
  });
}

/** The fields of one key, each padded as the kernel has them in its registers. */
export function concatenate(...fields: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(fields.flatMap((field) => [field, new Uint8Array(padded(field.length) - field.length)]));
}

/** An interface's name as keys and comparisons have it. */
export function interfaceKey(name: string): Uint8Array {
  const bytes = Buffer.alloc(KEY_TYPES.ifname.bytes);
  bytes.write(name, 'latin1');
  return bytes;
}

function encodeElement({ key, last, end, open, verdict, timeout }: Element): Uint8Array {
  return nested(
    NFTA_LIST_ELEM,
    nested(NFTA_SET_ELEM_KEY, attribute(NFTA_DATA_VALUE, key)),
    ...(last ? [nested(NFTA_SET_ELEM_KEY_END, attribute(NFTA_DATA_VALUE, last))] : []),
    ...(end ? [attribute(NFTA_SET_ELEM_FLAGS, be32(NFT_SET_ELEM_INTERVAL_END))] : []),
    ...(open ? [attribute(NFTA_SET_ELEM_USERDATA, INTERVAL_OPEN)] : []),
    ...(verdict === undefined ? [] : [nested(NFTA_SET_ELEM_DATA, verdictData(verdict))]),
    ...(timeout === undefined ? [] : [attribute(NFTA_SET_ELEM_TIMEOUT, be64(timeout))]),
  );
}

function elementNames(table: Table, set: string): Uint8Array[] {
  return [attribute(NFTA_SET_ELEM_LIST_TABLE, cString(table.name)), attribute(NFTA_SET_ELEM_LIST_SET, cString(set))];
}

/** struct nfgenmsg: family, version, resource */
function generalMessage(family: number, resource: number): Uint8Array {
  return Uint8Array.of(family, 0, resource >> 8, resource & 0xff);
}

function padded(length: number): number {
  return Math.ceil(length / REGISTER) * REGISTER;
}
