/** The one builder, by the names that Docker's plugin buildx has for builders and their nodes. */
import { HuskError } from '../errors.ts';
import { formatPlatform, hostPlatform } from '../images/store/platform.ts';
import { VERSION } from '../version.ts';

/** name of the builder and of its node */
export const BUILDER = 'default';

/** @returns what is shown of the builder; it is there whenever it is asked */
export const builder = (): { driver: string; status: string; version: string; platforms: string } => ({
  // The word by which scripts know a builder that puts images where `images` finds them.
  driver: 'docker',
  status: 'running',
  version: `husk ${VERSION}`,
  platforms: formatPlatform(hostPlatform()),
});

/** @throws HuskError `not-found` for any name but that of the builder */
export function checkBuilder(name: string): void {
  if (name !== BUILDER)
    throw new HuskError(`no builder ${JSON.stringify(name)} found`, {
      kind: 'not-found',
      fix: `use ${BUILDER}, which is husk itself`,
    });
}
