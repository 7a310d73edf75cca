/** What of a golden case's outcome is not as BuildKit's was, nor as husk is meant to differ. */
import type { GoldenCase, Outcome } from './golden-case.ts';
import { DIFFERENT } from './golden-differences.ts';

/** Digests and numbers of the outcome that depend on the machine. */
const comparable = (text: string): string =>
  text
    .replace(/OUT:\d{6,9}(?=\b|\\n)/g, 'OUT:%N')
    .replace(/pipe:\[\d+\]/, 'pipe:[…]')
    .replace(/ [A-Z][a-z]{2} [ \d]\d (?:\d\d:\d\d| \d{4}) /, ' DATE ');

/** @returns what differs from what is expected, one line each */
export function problems(found: Outcome, golden: GoldenCase): string[] {
  const { then, ...recorded } = golden.buildkit;
  const wanted: Outcome = { ...recorded, ...(then && { later: then }), ...DIFFERENT[golden.id]?.expected };
  const said: string[] = [];
  const compare = (what: string, mine: unknown, theirs: unknown): void => {
    const [a, b] = [mine, theirs].map((value) => JSON.stringify(value, sorted));
    if (a !== b) said.push(`${what}: ${a} and not ${b}`);
  };
  compare('rc', found.rc, wanted.rc);
  const { error } = DIFFERENT[golden.id] ?? {};
  if (error) {
    if (!error.test(found.error ?? '')) said.push(`error: ${found.error} and not ${error.source}`);
  } else if (wanted.error !== undefined) compareErrors(found.error, wanted.error, said);
  if (wanted.excerpt) compare('excerpt', found.excerpt, wanted.excerpt);
  if (wanted.rc === 0) compare('config', found.config ?? {}, wanted.config ?? {});
  if (wanted.out) compare('out', (found.out ?? []).map(comparable), wanted.out.map(comparable));
  if (wanted.warnings) compare('warnings', found.warnings, wanted.warnings);
  if (wanted.history) compare('history', found.history?.filter(Boolean), wanted.history.filter(Boolean));
  if (wanted.rc === 0) compareTrees(found.tree ?? {}, wanted.tree ?? {}, said);
  for (const [index, one] of (wanted.later ?? []).entries()) {
    const mine = found.later?.[index];
    compare(`build ${index + 2}: rc`, mine?.rc, one.rc);
    compare(`build ${index + 2}: cached`, mine?.cached, one.cached);
    if (one.out) compare(`build ${index + 2}: out`, mine?.out?.map(comparable), one.out);
  }
  return said;
}

/** husk says neither which of BuildKit's refs it looked in, nor a path of the store, but the image's. */
function compareErrors(mine: string | undefined, theirs: string, said: string[]): void {
  const wanted = theirs.replace('failed to calculate checksum of ref <id>: ', '');
  const isSame = (mine ?? '') === wanted || (wanted.includes('<store>') && matches(mine ?? '', wanted));
  // A reason may follow.
  if (!isSame && !mine?.startsWith(`${wanted}: left out by`)) said.push(`error: ${mine} and not ${wanted}`);
}

function matches(mine: string, wanted: string): boolean {
  const [before = '', after = ''] = wanted.split('<store>');
  const middle = mine.slice(before.length, mine.length - after.length);
  return mine.startsWith(before) && mine.endsWith(after) && /^\/[\w/]+(?: is a link to \/\w+)?$/.test(middle);
}

function compareTrees(mine: Record<string, string>, theirs: Record<string, string>, said: string[]): void {
  for (const path of new Set([...Object.keys(mine), ...Object.keys(theirs)])) {
    const [a, b] = [mine[path], theirs[path]];
    const isDigest = b?.includes("'sha:") === true;
    const shown = (text: string | undefined) =>
      text === undefined ? 'nothing' : isDigest ? text.replace(/['"].*['"]$/, "'…'") : comparable(text);
    if (shown(a) !== shown(b)) said.push(`${path}: ${shown(a)} and not ${shown(b)}`);
  }
}

/** Keys in one order. */
const sorted = (_: string, value: unknown): unknown =>
  value !== null && typeof value === 'object' && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
    : value;
