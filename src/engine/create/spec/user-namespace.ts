/**
 * `--userns`: whose ids the container's are. `keep-id` is Podman's word: the caller's own id has the same number
 * inside, or one that is asked for; the container runs as that user unless `-u` says otherwise. Decides only.
 */
import { EXIT_HUSK_FAILED, HuskError } from '../../../errors.ts';
import type { KeptIds } from '../../../rootless/keep-id.ts';
import type { CreateOptions } from '../../contract.ts';

export type { KeptIds } from '../../../rootless/keep-id.ts';

/** what Docker takes for an id: a signed 32-bit number */
const MAX_ID = 0x7fff_ffff;

type Asked = Pick<CreateOptions, 'userns' | 'user' | 'mounts' | 'network' | 'ipc' | 'pid'>;

/**
 * @param caller whoever runs husk
 * @returns undefined: the usual map, where the container's root is the caller
 * @throws HuskError `invalid`, `unsupported`
 */
export function keptIds(options: Asked, caller: KeptIds): KeptIds | undefined {
  const { userns = '' } = options;
  if (userns === 'private') return undefined;
  if (userns === '') return meansOwnFiles(options, caller) ? { ...caller } : undefined;
  const [mode, text] = userns.split(/:(.*)/s);
  if (mode !== 'keep-id') return undefined; // check.ts says why not
  const asked = text === undefined ? {} : parseIds(text, userns);
  if (caller.uid === 0)
    throw new HuskError("--userns keep-id: the host's root is in no container, under no number", {
      kind: 'unsupported',
      exitCode: EXIT_HUSK_FAILED,
      fix: 'run husk as an ordinary user, or leave --userns out',
    });
  return { ...caller, ...asked };
}

/**
 * `-u $(id -u):$(id -g) -v $PWD:/w`, which Jenkins and every Makefile around docker writes: with Docker that number
 * is the caller, and what it is for are the caller's own files. Without a folder of the host it says nothing about
 * the host, and a namespace that is joined has its map already.
 */
function meansOwnFiles({ user = '', mounts, network, ipc = '', pid = '' }: Asked, caller: KeptIds): boolean {
  if (caller.uid === 0 || (user !== String(caller.uid) && user !== `${caller.uid}:${caller.gid}`)) return false;
  return (
    mounts.some(({ type }) => type === 'bind') && ![network, ipc, pid].some((mode) => mode.startsWith('container:'))
  );
}

/** `uid=N,gid=N` */
function parseIds(text: string, userns: string): Partial<KeptIds> {
  const ids: Partial<KeptIds> = {};
  for (const option of text.split(',')) {
    const [, key, number] = /^(uid|gid)=(\d{1,10})$/.exec(option) ?? [];
    if (key === undefined || Number(number) > MAX_ID)
      throw new HuskError(`--userns ${userns}: unknown option "${option}"`, {
        kind: 'invalid',
        exitCode: EXIT_HUSK_FAILED,
        fix: 'keep-id, or keep-id:uid=N,gid=N',
      });
    ids[key as keyof KeptIds] = Number(number);
  }
  return ids;
}
