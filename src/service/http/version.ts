/** The versions of Docker's Engine API that husk speaks, and what it says of itself in heads. */
import { HuskError } from '../../errors.ts';
import { VERSION } from '../../version.ts';
import type { ApiVersion } from './contract.ts';

/** 1.52 drops fields that clients in use still read. */
export const NEWEST: ApiVersion = { major: 1, minor: 51 };
/** An engine whose oldest was 1.44 broke every client that asks for a fixed version (traefik#12253). */
export const OLDEST: ApiVersion = { major: 1, minor: 24 };

/** Clients compare it with Docker's versions (17.12 and 20.10 at least), so it begins as one of them. */
export const ENGINE_VERSION = `28.3.0+husk.${VERSION}`;

export const versionText = ({ major, minor }: ApiVersion): string => `${major}.${minor}`;

function isOlder(version: ApiVersion, than: ApiVersion): boolean {
  return version.major !== than.major ? version.major < than.major : version.minor < than.minor;
}

/**
 * @param text of a path `/v1.44/…`: digits and points
 * @throws HuskError `invalid` in Docker's words for a version that husk does not speak
 */
export function readVersion(text: string): ApiVersion {
  const [, major, minor = '0'] = /^(\d{1,4})(?:\.(\d{1,4}))?$/.exec(text) ?? [];
  if (major === undefined) throw new HuskError(`invalid API version: ${JSON.stringify(text)}`, { kind: 'invalid' });
  const version = { major: Number(major), minor: Number(minor) };
  if (isOlder(NEWEST, version))
    throw new HuskError(`client version ${text} is too new. Maximum supported API version is ${versionText(NEWEST)}`, {
      kind: 'invalid',
    });
  if (isOlder(version, OLDEST))
    throw new HuskError(
      `client version ${text} is too old. Minimum supported API version is ${versionText(OLDEST)}, ` +
        'please upgrade your client to a newer version',
      { kind: 'invalid' },
    );
  return version;
}

/** Headers of every answer of a route. */
export const COMMON_HEADERS: Readonly<Record<string, string>> = {
  'Api-Version': versionText(NEWEST),
  'Docker-Experimental': 'false',
  Ostype: 'linux',
  Server: `Docker/${ENGINE_VERSION} (linux)`,
};
