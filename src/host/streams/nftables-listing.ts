/**
 * What nf_tables has, read back: as bytes that are compared and never understood, for a kernel writes expressions in
 * another form than it was given them. Numbers are of include/uapi/linux/netfilter/{nf_tables,nfnetlink}.h.
 */
import { readAttributes } from './netlink-attributes.ts';
import type { NetfilterSocket } from './nftables.ts';

const NFNL_SUBSYS_NFTABLES = 10;
/** bits to the left of a message's type */
const SUBSYSTEM = 8;
const NFT_MSG_GETRULE = 7;
const NFTA_RULE_TABLE = 1;
const NFTA_RULE_CHAIN = 2;
/** bytes of struct nfgenmsg: family, version, resource; of every family: 0 */
const GENERAL_MESSAGE = 4;

/** FNV-1a of 32 bits (draft-eastlake-fnv §5): it is to show accidents, not attacks */
const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

export interface Listing {
  /** 32 bits: another number when a rule was added, taken away, moved or made again */
  checksum: number;
  /** chains with rules */
  chains: ReadonlySet<string>;
}

/**
 * What there is of rules.
 * @param counts whether those of a chain do
 * @throws NetlinkError
 */
export function listRules(socket: NetfilterSocket, counts: (of: { table: string; chain: string }) => boolean): Listing {
  const chains = new Set<string>();
  const rules = socket.dump({
    type: (NFNL_SUBSYS_NFTABLES << SUBSYSTEM) | NFT_MSG_GETRULE,
    body: [new Uint8Array(GENERAL_MESSAGE)],
    asked: 'list rules',
  });
  let sum = FNV_OFFSET;
  for (const rule of rules) {
    const attributes = readAttributes(rule.subarray(GENERAL_MESSAGE));
    const [table, chain] = [NFTA_RULE_TABLE, NFTA_RULE_CHAIN].map((type) => textOf(attributes.get(type)));
    if (!counts({ table: table!, chain: chain! })) continue;
    chains.add(chain!);
    // the general message ends with the generation of all rules, which members' elements change too
    sum = rule.subarray(GENERAL_MESSAGE).reduce((so, byte) => Math.imul(so ^ byte, FNV_PRIME), sum ^ rule[0]!);
  }
  return { checksum: sum >>> 0, chains };
}

const textOf = (bytes: Buffer | undefined): string => bytes?.toString('latin1').replace(/\0.*$/s, '') ?? '';
