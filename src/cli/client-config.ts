/** The formats that `$DOCKER_CONFIG/config.json` gives lists where no `--format` is typed, as Docker's client takes them. Reads only. */
import { dockerConfigFile, readDockerConfig } from '../images/registry/credentials.ts';

type FormatKey = 'psFormat' | 'imagesFormat' | 'volumesFormat' | 'statsFormat' | 'networksFormat';

/** @returns an empty text where there is none */
export function configuredFormat(key: FormatKey, env: NodeJS.ProcessEnv): string {
  const value = (readDockerConfig(dockerConfigFile(env)) as Record<string, unknown>)[key];
  return typeof value === 'string' ? value : '';
}
