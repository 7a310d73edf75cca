/**
 * What names have been found to mean: addresses of an allowed name's answer are let through for a while, before the
 * answer reaches the container, and nothing else is in that answer. Knows no packet filter and no resolver.
 */
import { formatIp, type IpAddress } from '../../notation/ip.ts';
import { meansName } from '../../notation/egress.ts';
import { bytesOfAddress } from '../names/address.ts';
import type { AnswerAddress } from '../names/kept-answer.ts';
import { isNamed, mayBeAnswered, type Egress } from './grouping.ts';
import { addressOf } from './ranges.ts';

export interface Pin {
  /** its place among the groups */
  group: number;
  address: IpAddress;
  /** ms */
  timeout: number;
}

/** seconds that the container may remember an answer: then it asks again, and its addresses are let through anew */
export const MAX_TTL = 60;
/** seconds that an address is let through beyond its time to live, for clients that connect late; and in all */
const GRACE = 60;
const LONGEST = 3600;
/** addresses of one container at once, of one answer: a name whose owner wishes it has as many as he likes */
const MOST_PINS = 1024;
const MOST_OF_ANSWER = 32;

export interface PinsOptions {
  /** lets them through, or throws; the answer waits for it */
  apply(pins: readonly Pin[]): void;
  /** told of an address that was cut out of an answer */
  cut(name: string, reason: string): void;
  /** ms. @default Date.now */
  now?: () => number;
}

export class Pins {
  readonly #egress: Egress;
  readonly #options: PinsOptions;
  /** until when, ms, by group and address */
  readonly #until = new Map<string, Pin & { until: number }>();

  constructor(egress: Egress, options: PinsOptions) {
    this.#egress = egress;
    this.#options = options;
  }

  /** @returns those that the container may be told of @throws Error when they cannot be let through */
  onAnswer(name: string, addresses: readonly AnswerAddress[]): AnswerAddress[] {
    const kept = addresses.slice(0, MOST_OF_ANSWER).filter(({ address }) => this.#mayHave(name, address));
    const groups = this.#egress.groups.flatMap(({ names }, index) =>
      names.some((rule) => meansName(rule, name)) ? [index] : [],
    );
    const pins = kept.flatMap(({ address, ttl }) => {
      const own = addressOf(bytesOfAddress(address)!);
      // what a rule names by its address has that rule's ports, and no more by a name that somebody else decides about
      if (!mayBeAnswered(this.#egress, own)) return [];
      return groups.map((group) => ({ group, address: own, timeout: 1000 * (Math.min(ttl, LONGEST) + GRACE) }));
    });
    this.#add(name, pins);
    return kept;
  }

  #mayHave(name: string, text: string): boolean {
    const address = addressOf(bytesOfAddress(text)!);
    if (mayBeAnswered(this.#egress, address) || isNamed(this.#egress, address)) return true;
    this.#options.cut(name, `its address ${text} is not public, and no rule names it`);
    return false;
  }

  #add(name: string, pins: readonly Pin[]): void {
    if (pins.length === 0) return;
    const now = (this.#options.now ?? Date.now)();
    const keyOf = ({ group, address }: Pin) => `${group} ${formatIp(address)}`;
    const added = pins.filter((pin) => !this.#until.has(keyOf(pin))).length;
    if (this.#until.size + added > MOST_PINS) this.#forget(now);
    if (this.#until.size + added > MOST_PINS) {
      this.#options.cut(name, `names have led to ${MOST_PINS} addresses already`);
      throw new Error(`--egress: names have led to ${MOST_PINS} addresses already`);
    }
    // another name may lead there too, and for longer
    const longest = pins.map((pin) => {
      const until = Math.max(now + pin.timeout, this.#until.get(keyOf(pin))?.until ?? 0);
      return { ...pin, timeout: until - now, until };
    });
    this.#options.apply(longest);
    for (const pin of longest) this.#until.set(keyOf(pin), pin);
  }

  #forget(now: number): void {
    for (const [key, { until }] of this.#until) if (until <= now) this.#until.delete(key);
  }

  /** Those whose time is not over, for a network that the container comes to now. */
  live(): Pin[] {
    const now = (this.#options.now ?? Date.now)();
    this.#forget(now);
    return Array.from(this.#until.values(), ({ group, address, until }) => ({ group, address, timeout: until - now }));
  }
}
