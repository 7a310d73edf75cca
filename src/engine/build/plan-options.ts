/** What the options of a build mean as values, settled before anything is opened. Pure, but for this machine's name. */
import { HuskError } from '../../errors.ts';
import type { PlanOptions } from '../../images/build/operations.ts';
import { hostPlatform, parsePlatform, samePlatform } from '../../images/store/platform.ts';
import { redacted } from '../../images/build/remote/git-url.ts';
import type { LayoutChoice, Platform } from '../../images/store/contract.ts';
import type { BuildOptions, NamedContext } from '../build-contract.ts';

/** What replaces a secret's value that stands in a step's name. */
const MASKED = '***';
/** bytes of a value that is worth masking: less would take letters out of every name */
const LEAST_SECRET = 4;
const EPOCH = 'SOURCE_DATE_EPOCH';

/** most platforms of one build: each of them is built */
const MAX_PLATFORMS = 32;

/** @returns the platforms that are built for, each once, at least one. @throws HuskError `invalid`, `limit` */
export function platformsOf({ platform }: Pick<BuildOptions, 'platform'>): [Platform, ...Platform[]] {
  if (platform === undefined) return [hostPlatform()];
  const [first, ...others] = platform.split(',').map((text) => parsePlatform(text.trim()));
  const platforms: [Platform, ...Platform[]] = [first!];
  for (const other of others) if (!platforms.some((each) => samePlatform(each, other))) platforms.push(other);
  if (platforms.length > MAX_PLATFORMS)
    throw new HuskError(`--platform: more than ${MAX_PLATFORMS} platforms`, { kind: 'limit' });
  return platforms;
}

/**
 * Images of several platforms go to the store, to registries, to OCI archives, to folders or nowhere.
 * @throws HuskError `unsupported` for outputs and caches that are of one platform
 */
export function checkSeveral({ outputs, cacheTo = [] }: Pick<BuildOptions, 'outputs' | 'cacheTo'>): void {
  const single = outputs.find(({ type }) => type === 'tar' || type === 'docker');
  if (single)
    throw new HuskError(`--platform: an archive of type=${single.type} is of one platform`, {
      kind: 'unsupported',
      fix: 'use type=oci, --push or -o FOLDER, or build one platform at a time',
    });
  if (cacheTo.length > 0)
    throw new HuskError('--cache-to: a cache is written by a build of one platform', { kind: 'unsupported' });
}

export function planOptions(
  { buildArgs, target, contexts }: BuildOptions,
  platform: Platform,
): Omit<PlanOptions, 'baseConfig'> {
  return {
    buildArgs: new Map(Object.entries(buildArgs)),
    target,
    platform,
    contexts: new Map(Object.entries(contexts).map(([name, named]) => [name, contextOf(named)])),
  };
}

function contextOf(named: NamedContext): PlanOptions['contexts'] extends ReadonlyMap<string, infer C> ? C : never {
  if (named.kind === 'folder' || named.kind === 'tar' || named.kind === 'remote') return { kind: 'files' };
  return named.kind === 'layout' ? { kind: 'layout', reference: layoutReference(named) } : named;
}

/** @returns what an image of a layout is called in the plan, and in progress: no registry has such a name */
export const layoutReference = ({ folder, tag, digest }: LayoutChoice): string =>
  `oci-layout://${folder}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;

/** @returns seconds since 1970; an empty text is as none @throws HuskError for what is no number of seconds */
export function epochOf(buildArgs: Record<string, string>): number | undefined {
  const text = buildArgs[EPOCH];
  if (!text) return undefined;
  if (!/^\d{1,11}$/.test(text))
    throw new HuskError(`invalid ${EPOCH}: ${JSON.stringify(text)} is no number of seconds since 1970`, {
      kind: 'invalid',
    });
  return Number(text);
}

/** @returns what takes values of secrets and passwords of URLs out of a text that people see */
export function masking({ secrets }: Pick<BuildOptions, 'secrets'>): (text: string) => string {
  const values = secrets
    .map(({ value }) => Buffer.from(value).toString('utf8').trim())
    .filter((value) => value.length >= LEAST_SECRET);
  return (text) => values.reduce((masked, value) => masked.replaceAll(value, MASKED), redacted(text));
}
