/** The body of commit: a container's config that goes before the container's own. Pure. */
import type { CommitOptions } from '../../../engine/contract.ts';
import { parseExpose } from '../../../notation/ports.ts';
import { BodyFields } from '../../http/body-fields.ts';
import { readHealthcheck } from './create/config.ts';
import { refusing } from './create/refusing.ts';

/**
 * The rest of a config is about one container (its terminal, its name, what it is attached to): clients send back what
 * they were told of it, and an image has none of that.
 * @returns what was asked for, without Go's zero values; an empty `Entrypoint` is a value
 * @throws HuskError `invalid`, naming the field
 */
export function commitConfig(body: unknown): CommitOptions['config'] {
  if (body === undefined || body === null) return undefined;
  const config = new BodyFields(body);
  const ports = config.names('ExposedPorts').flatMap((port) => refusing(() => parseExpose(port)));
  const health = readHealthcheck(config.object('Healthcheck'));
  const read: NonNullable<CommitOptions['config']> = {
    User: config.text('User'),
    ExposedPorts: namesOnly(ports),
    Env: config.texts('Env').filter((text) => text.includes('=')),
    Cmd: config.words('Cmd'),
    Volumes: namesOnly(config.names('Volumes')),
    WorkingDir: config.text('WorkingDir'),
    Labels: config.map('Labels'),
    StopSignal: config.text('StopSignal'),
    OnBuild: config.texts('OnBuild'),
    Shell: config.texts('Shell'),
    Healthcheck: health && Object.fromEntries(Object.entries(health).filter(([, value]) => value !== undefined)),
  };
  const asked = Object.entries(read).filter(([, value]) => value !== undefined && Object.keys(value ?? {}).length > 0);
  const entrypoint = config.words('Entrypoint');
  return { ...Object.fromEntries(asked), ...(entrypoint && { Entrypoint: entrypoint }) };
}

const namesOnly = (names: readonly string[]): Record<string, object> =>
  Object.fromEntries(names.map((name) => [name, {}]));
