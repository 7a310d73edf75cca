/**
 * `--userns`: whose ids the container's are. `keep-id` is Podman's word: the caller's own id has the same number
 * inside, or one that is asked for; the container runs as that user unless `-u` says otherwise. Decides only.
 */
import { EXIT_HUSK_FAILED, HuskError } from '../../../errors.ts';
import type { KeptIds } from '../../../rootless/keep-id.ts';
import type { CreateRequest } from '../../request/request.ts';

export type { KeptIds } from '../../../rootless/keep-id.ts';

type Asked = Pick<CreateRequest, 'userns' | 'user' | 'mounts' | 'network' | 'ipc' | 'pid'>;

/**
 * @param caller whoever runs husk
 * @returns undefined: the usual map, where the container's root is the caller
 * @throws HuskError `unsupported`
 */
export function keptIds(request: Asked, caller: KeptIds): KeptIds | undefined {
  const { userns } = request;
  if (userns.kind === 'default') return meansOwnFiles(request, caller) ? { ...caller } : undefined;
  if (userns.kind !== 'keep-id') return undefined; // check.ts says why the host's is not possible
  if (caller.uid === 0)
    throw new HuskError("--userns keep-id: the host's root is in no container, under no number", {
      kind: 'unsupported',
      exitCode: EXIT_HUSK_FAILED,
      fix: 'run husk as an ordinary user, or leave --userns out',
    });
  return { uid: userns.uid ?? caller.uid, gid: userns.gid ?? caller.gid };
}

/**
 * `-u $(id -u):$(id -g) -v $PWD:/w`, which Jenkins and every Makefile around docker writes: with Docker that number
 * is the caller, and what it is for are the caller's own files. Without a folder of the host it says nothing about
 * the host, and a namespace that is joined has its map already.
 */
function meansOwnFiles({ user = '', mounts, network, ipc, pid }: Asked, caller: KeptIds): boolean {
  if (caller.uid === 0 || (user !== String(caller.uid) && user !== `${caller.uid}:${caller.gid}`)) return false;
  return mounts.some(({ type }) => type === 'bind') && ![network, ipc, pid].some(({ kind }) => kind === 'container');
}
