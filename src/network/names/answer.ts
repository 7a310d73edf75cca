/**
 * What the containers of one's own networks are told about each other: names to addresses, addresses to names, and
 * when a resolver is to be asked instead. As Docker's embedded server answers (moby libnetwork's resolver). Nothing
 * here sends or waits.
 */
import { bytesOfAddress, reversedAddress } from './address.ts';
import { compose, type Protocol } from './compose.ts';
import { CLASS_IN, encodeName, HEADER, type Query, RCODE, TYPE } from './message.ts';

/** The names of the networks that a container is on. */
export interface NameSource {
  /**
   * @param name lower case, without a dot at the end; `name` or `name.network` @param asker the container that asks: an
   * alias of a link is its alone
   * @returns all its addresses, in any order; undefined: nobody is called that
   */
  lookup(name: string, asker: string): { ipv4: readonly string[]; ipv6: readonly string[] } | undefined;
  /** @param address canonical text @returns `name.network` */
  reverse(address: string, asker: string): string | undefined;
  /**
   * A number that is another one after each change of what the two may say; absent: that is not known, and no answer is
   * given again without asking them.
   */
  version?(): number;
}

/** seconds that an answer of ours is good for: Docker's */
const TTL = 600;

/**
 * @param options.ndotsSet the person has set `ndots`: a name of one label is completed by the search list, and is not
 * asked of anybody outside as it is
 * @returns undefined: ask a resolver
 */
export function answerOwn(
  query: Query,
  { names, asker, ndotsSet, protocol }: { names: NameSource; asker: string; ndotsSet: boolean; protocol: Protocol },
): Buffer | undefined {
  if (query.class !== CLASS_IN) return undefined;
  const known = (data: readonly Uint8Array[]) =>
    compose(
      query,
      data.map((bytes) => ({ name: HEADER, type: query.type, ttl: TTL, data: bytes })),
      { rcode: RCODE.NOERROR, protocol },
    );
  switch (query.type) {
    case TYPE.A:
    case TYPE.AAAA: {
      const found = names.lookup(query.name, asker);
      if (found) return known(shuffled(query.type === TYPE.A ? found.ipv4 : found.ipv6));
      return ndotsSet && !query.name.includes('.') ? known([]) : undefined;
    }
    // no MX record: mail goes to the address (RFC 5321 §5.1)
    case TYPE.MX:
      return names.lookup(query.name, asker) && known([]);
    case TYPE.PTR: {
      const address = reversedAddress(query.name);
      const name = address && names.reverse(address, asker);
      const bytes = name && encodeName(name);
      return bytes ? known([bytes]) : undefined;
    }
    default:
      return undefined;
  }
}

/** Not always in the same order, so that those who take the first spread themselves over all. */
function shuffled(addresses: readonly string[]): Uint8Array[] {
  const all = addresses.flatMap((address) => bytesOfAddress(address) ?? []);
  for (let index = all.length - 1; index > 0; index--) {
    const other = Math.floor(Math.random() * (index + 1));
    [all[index], all[other]] = [all[other]!, all[index]!];
  }
  return all;
}
