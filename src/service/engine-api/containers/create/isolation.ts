/**
 * `HostConfig.Runtime` and `.Isolation`: the two fields by which an unmodified client says how a container is isolated
 * (`docker run --runtime vm`, `--isolation vm`, compose's `runtime: vm`).
 */
import type { CreateOptions } from '../../../../engine/contract.ts';
import { HuskError } from '../../../../errors.ts';
import type { BodyFields } from '../../../http/body-fields.ts';

type Isolation = CreateOptions['isolation'];

/** husk's own name as `inspect` shows it, and those by which clients mean Docker's default runtime */
const RUNTIMES: Readonly<Record<string, Isolation>> = {
  '': 'auto',
  husk: 'auto',
  runc: 'auto',
  'io.containerd.runc.v2': 'auto',
  vm: 'vm',
  userns: 'userns',
};

/** `default` is Docker's own word; its others are of Windows. */
const ISOLATIONS: Readonly<Record<string, Isolation>> = {
  '': 'auto',
  default: 'auto',
  husk: 'auto',
  vm: 'vm',
  userns: 'userns',
};

/** @throws HuskError `invalid` in Docker's words */
export function readIsolation(host: BodyFields): Isolation {
  const runtime = host.text('Runtime');
  const isolation = host.text('Isolation');
  if (!Object.hasOwn(RUNTIMES, runtime))
    throw invalid(`unknown or invalid runtime name: ${runtime}`, 'use vm, userns or husk');
  if (!Object.hasOwn(ISOLATIONS, isolation.toLowerCase()))
    throw invalid(`invalid isolation '${isolation}' on linux`, 'use vm, userns or husk');
  const byRuntime = RUNTIMES[runtime]!;
  const byIsolation = ISOLATIONS[isolation.toLowerCase()]!;
  if (byRuntime !== 'auto' && byIsolation !== 'auto' && byRuntime !== byIsolation)
    throw invalid(`conflicting options: runtime ${runtime} and isolation ${isolation}`, 'leave one of them out');
  return byRuntime === 'auto' ? byIsolation : byRuntime;
}

const invalid = (message: string, fix: string): HuskError => new HuskError(message, { kind: 'invalid', fix });
