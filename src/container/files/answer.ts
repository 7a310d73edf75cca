/**
 * Answers a FilesRequest (src/sandbox.ts) in the process that can see the container's files: the guest's agent, or on
 * the host a program of husk's in the container's user namespace. Both run this code; neither executes anything of the
 * container.
 */
import { HuskError } from '../../errors.ts';
import { Fd } from '../../host/fd.ts';
import * as host from '../../host/files/lookup.ts';
import { O_PATH } from '../../host/files/file-at.ts';
import type { FilesHeader, FilesRequest, PathStat } from '../../sandbox.ts';
import { type ByteString, display, fromText, toBytes } from '../../tar/byte-string.ts';
import { changesOf } from './changes.ts';
import { factsOf, linkTarget } from './facts.ts';
import { packTree } from './pack.ts';
import { containerPlace } from './places.ts';
import type { FilesPlaces } from './request-places.ts';
import { explain, followed, openPath } from './resolve.ts';
import { Unpacker } from './unpack.ts';
import { UpperLayer } from './upper.ts';
import { userOf } from './user.ts';

/** bytes of changes that are gathered before they are yielded */
const CHUNK = 64 << 10;

/** Answers every request but `extract` and `size`, piece by piece. @throws HuskError, SyscallError */
export function* answer(request: FilesRequest, places: FilesPlaces): Generator<Buffer, void, void> {
  switch (request.op) {
    case 'stat':
      return yield* withFolder(places.root, function* (root) {
        const path = fromText(request.path);
        using found = new Fd(openPath(root, path, { follow: false }));
        yield header({ stat: statOf(root, path, found.number) });
      });
    case 'archive':
      return yield* withFolder(places.root, function* (root) {
        const path = fromText(request.path);
        using found = new Fd(openPath(root, path, { follow: request.follow === true }));
        yield header({ stat: statOf(root, path, found.number) });
        const top = request.name === undefined ? lastName(path) : fromText(request.name);
        yield* packTree(found.number, top, { shown: (member) => display(pathOf(member, top, path)) });
      });
    case 'export':
      return yield* withFolder(places.whole, function* (whole) {
        yield header({});
        yield* packTree(whole, '');
      });
    case 'layer':
      return yield* withLayer(places, function* ({ upper, layer }) {
        yield header({});
        yield* packTree(upper, '', { layer });
      });
    case 'changes':
      return yield* withLayer(places, function* ({ upper, lower, layer }) {
        yield header({});
        let text = '';
        for (const { kind, path } of changesOf(upper, lower, layer)) {
          text += `${kind}/${path}\0`;
          if (text.length < CHUNK) continue;
          yield toBytes(text);
          text = '';
        }
        yield toBytes(text);
      });
    default:
      throw new HuskError(`the request "${request.op}" has no bytes to answer with`, { kind: 'internal' });
  }
}

/** @returns the unpacker that takes the input of `extract`. @throws HuskError when the folder does not exist */
export function receiver(
  request: Extract<FilesRequest, { op: 'extract' }>,
  places: FilesPlaces & { devices: boolean },
): Unpacker {
  const root = host.openFolder(places.root!);
  const path = fromText(request.path);
  try {
    const owner = request.user === undefined ? 'keep' : userOf(root, request.user);
    using folder = new Fd(openPath(root, path, { follow: true }));
    if (factsOf(folder.number).type !== 'directory')
      throw new HuskError('extraction point is not a directory', { kind: 'invalid' });
    const unpacker = new Unpacker(containerPlace(root, path), {
      owner,
      replaceKinds: request.replaceKinds,
      devices: places.devices,
      specialBits: true,
      xattrs: true,
      existingFolders: true,
    });
    const { close } = unpacker;
    unpacker.close = () => {
      close.call(unpacker);
      host.closeFd(root);
    };
    return unpacker;
  } catch (error) {
    host.closeFd(root);
    throw explain(error, path);
  }
}

export const header = (value: FilesHeader): Buffer => Buffer.from(`${JSON.stringify(value)}\n`);

function statOf(root: number, path: ByteString, fd: number): PathStat {
  const { type, size, mode, mtime, mtimeNanoseconds } = factsOf(fd);
  const text = (bytes: ByteString) => toBytes(bytes).toString();
  return {
    name: text(lastName(path) || (path.endsWith('.') ? '.' : '/')),
    size,
    mode,
    mtime,
    mtimeNanoseconds,
    linkTarget: type === 'symlink' ? text(linkTarget(fd) === '' ? '' : followed(root, path)) : '',
  };
}

/**
 * @returns what the members of a path's archive begin with; '' for the root and for a path that ends with `/.`, which
 * stands for its contents
 */
function lastName(path: ByteString): ByteString {
  const names = path.split('/').filter((name) => name !== '');
  const last = names.at(-1) ?? '';
  return last === '.' || last === '..' ? '' : last;
}

/** @returns the path of an archive's member: `x/y`, of an archive of `/a/x` that calls it `x` → `/a/x/y` */
export function pathOf(member: ByteString, top: ByteString, path: ByteString): ByteString {
  const below = top === '' ? `/${member}` : member.slice(top.length);
  return `${path.replace(/(?:\/\.?)+$/, '')}${below}`;
}

function* withFolder<T>(
  path: string | undefined,
  use: (fd: number) => Generator<Buffer, T, void>,
): Generator<Buffer, T, void> {
  using folder = new Fd(host.openFolder(path!));
  return yield* use(folder.number);
}

function withLayer(
  places: FilesPlaces,
  use: (open: { upper: number; lower: number; layer: UpperLayer }) => Generator<Buffer, void, void>,
): Generator<Buffer, void, void> {
  return withFolder(places.upper, (upper) =>
    withFolder(places.lower, function* (lower) {
      yield* use({ upper, lower, layer: new UpperLayer(places.form!, (path) => exists(lower, path)) });
    }),
  );
}

function exists(root: number, path: ByteString): boolean {
  try {
    host.closeFd(host.openInRoot(root, path, O_PATH | host.O_NOFOLLOW));
    return true;
  } catch {
    return false;
  }
}
