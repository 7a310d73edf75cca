/** The part of a create body that is the container's own: Docker's type Config. */
import type { CreateOptions } from '../../../../engine/contract.ts';
import type { BodyFields } from '../../../http/body-fields.ts';
import { refuseInConfig } from './refused.ts';

export type ConfigOptions = Pick<
  CreateOptions,
  | 'image'
  | 'command'
  | 'entrypoint'
  | 'labels'
  | 'hostname'
  | 'domainname'
  | 'env'
  | 'workdir'
  | 'user'
  | 'interactive'
  | 'stdinOnce'
  | 'attach'
  | 'tty'
  | 'stopSignal'
  | 'stopTimeout'
  | 'healthcheck'
>;

/** @throws HuskError `invalid` */
export function readConfig(body: BodyFields): ConfigOptions {
  refuseInConfig(body);
  const command = body.words('Cmd');
  return {
    image: body.text('Image'),
    command: command?.length ? command : undefined,
    entrypoint: body.words('Entrypoint'),
    labels: body.map('Labels'),
    hostname: body.optional('Hostname'),
    domainname: body.optional('Domainname'),
    env: body.texts('Env'),
    workdir: body.optional('WorkingDir'),
    user: body.optional('User'),
    interactive: body.flag('OpenStdin'),
    stdinOnce: body.flag('StdinOnce'),
    attach: {
      stdin: body.flag('AttachStdin'),
      stdout: body.flag('AttachStdout'),
      stderr: body.flag('AttachStderr'),
    },
    tty: body.flag('Tty'),
    stopSignal: body.optional('StopSignal'),
    stopTimeout: body.optionalInteger('StopTimeout'),
    healthcheck: readHealthcheck(body.object('Healthcheck')),
  };
}

/** Also of a commit body. Durations are in ns; an empty `Test` is the image's, and 0 the image's or the default. */
export function readHealthcheck(check: BodyFields | undefined): CreateOptions['healthcheck'] {
  if (!check) return undefined;
  const test = check.texts('Test');
  return {
    Test: test.length > 0 ? test : undefined,
    Interval: check.positive('Interval'),
    Timeout: check.positive('Timeout'),
    StartPeriod: check.positive('StartPeriod'),
    StartInterval: check.positive('StartInterval'),
    Retries: check.positive('Retries'),
  };
}
