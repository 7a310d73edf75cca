/**
 * `login` and `logout`: keeps and forgets credentials where Docker does, in config.json or with the docker-credential-*
 * program that it names. All else in the file stays, and a secret is never shown.
 *
 * Source: docker/cli `config.json`; docker/docker-credential-helpers protocol (`store` takes JSON, `erase` the server,
 * on stdin).
 */
import { realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { causeOf, HuskError } from '../../errors.ts';
import { makeMissingFolders } from '../../missing-folders.ts';
import { randomHex } from '../../host/kernel/random.ts';
import { writeWholeFile } from '../../whole-file.ts';
import { DEFAULT_DOMAIN } from '../store/reference.ts';
import { helperComplaint, runHelper } from './credential-helper.ts';
import { dockerConfigFile, entryOf, hostOf, HUB_KEY, readDockerConfig, type DockerConfig } from './credentials.ts';

export interface PasswordCredentials {
  username: string;
  password: string;
}

const keyOf = (host: string): string => (host === DEFAULT_DOMAIN ? HUB_KEY : host);
const helperOf = (config: DockerConfig, host: string): string | undefined =>
  entryOf(config.credHelpers, keyOf(host)) ?? entryOf(config.credHelpers, host) ?? (config.credsStore || undefined);

/** Stores credentials. @returns the file that has them now; undefined when a helper has them */
export async function storeCredentials(
  host: string,
  { username, password }: PasswordCredentials,
  env: NodeJS.ProcessEnv,
): Promise<string | undefined> {
  const file = dockerConfigFile(env);
  const config = readDockerConfig(file);
  const helper = helperOf(config, host);
  if (helper !== undefined) {
    await tellHelper(helper, 'store', {
      input: JSON.stringify({ ServerURL: keyOf(host), Username: username, Secret: password }),
      env,
    });
    // An older plain entry would shadow nothing, but it would still be a password on disk.
    if (forget(config, host)) write(file, config);
    return undefined;
  }
  forget(config, host);
  config.auths = {
    ...config.auths,
    [keyOf(host)]: { auth: Buffer.from(`${username}:${password}`).toString('base64') },
  };
  write(file, config);
  return file;
}

/** Forgets credentials. @returns whether there were any */
export async function eraseCredentials(host: string, env: NodeJS.ProcessEnv): Promise<boolean> {
  const file = dockerConfigFile(env);
  const config = readDockerConfig(file);
  const helper = helperOf(config, host);
  if (helper !== undefined) await tellHelper(helper, 'erase', { input: keyOf(host), env });
  const found = forget(config, host);
  if (found) write(file, config);
  return found || helper !== undefined;
}

/** Deletes every spelling of the host: `host`, `https://host/v1/`. @returns whether there was one */
function forget(config: DockerConfig, host: string): boolean {
  const names = Object.keys(config.auths ?? {}).filter(
    (name) => name === keyOf(host) || hostOf(name) === hostOf(keyOf(host)),
  );
  for (const name of names) delete config.auths![name];
  return names.length > 0;
}

/** Writes the file by a rename, readable by its owner only; a symbolic link to the file stays one. */
function write(file: string, config: DockerConfig): void {
  let target = file;
  try {
    makeMissingFolders(dirname(file), 0o700);
    try {
      target = realpathSync(file);
    } catch {
      // The file is not there yet.
    }
    // The name is random: a killed husk may have left a file, and pids are reused.
    const half = join(dirname(target), `.config.json.${randomHex(8)}`);
    writeWholeFile(target, `${JSON.stringify(config, undefined, '\t')}\n`, { mode: 0o600, half });
  } catch (error) {
    throw new HuskError(`cannot write ${file}: ${causeOf(error)}`, { kind: 'invalid', cause: error });
  }
}

async function tellHelper(
  helper: string,
  action: 'store' | 'erase',
  options: { input: string; env: NodeJS.ProcessEnv },
): Promise<void> {
  const answer = await runHelper(helper, `${action} credentials with`, { action, ...options });
  // The helper's own words are shown, but never its input.
  const complaint = helperComplaint(answer, options.input);
  if (complaint !== undefined) throw answer.refuse(complaint);
}
