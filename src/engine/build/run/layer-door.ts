/**
 * The door for layers that a virtual machine has made: what its guest says of a layer is a stranger's tar, and passes
 * only if it could have been made by husk's own packer. What ingesting refuses of any layer (paths that lead out, links
 * to nothing, lengths, counts, a tar cut short) it refuses there.
 */
import { HuskError } from '../../../errors.ts';
import { display } from '../../../tar/byte-string.ts';
import type { TarEntry } from '../../../tar/entry.ts';
import { TarParser } from '../../../tar/parser.ts';

/** bytes behind the end of the archive: its two blocks of zeros are all that the packer writes */
const BLOCK = 512;

/** @returns the same bytes, as they come @throws HuskError `corrupt` naming the member */
export async function* layerDoor(tar: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer, void, void> {
  const parser = new TarParser(checkMember);
  let behind = 0;
  for await (const chunk of tar) {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    const before = parser.ended;
    parser.push(bytes);
    if (before) behind += bytes.length;
    if (behind > BLOCK) throw refused('there are bytes behind its end');
    yield bytes;
  }
  parser.end();
  // What ends between two members is whole to the parser.
  if (!parser.ended) throw refused('it has no end');
}

/** A device node belongs to one machine; the packer leaves it out, and so does the other isolation. */
function checkMember({ type, path }: TarEntry): void {
  if (type === 'char' || type === 'block') throw refused(`/${display(path)} is a device`);
  if (path === '') throw refused('it says what / is');
}

const refused = (why: string): HuskError =>
  new HuskError(`the virtual machine of the build told a layer that no step makes: ${why}`, { kind: 'corrupt' });
