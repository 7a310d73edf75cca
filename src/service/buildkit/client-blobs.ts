/**
 * Blobs of the client's folders: of image layouts that are contexts by name. The client serves each folder as a store
 * of its own, by containerd's content service. What it says is checked by whoever reads.
 *
 * Source: containerd api/services/content/v1/content.proto, moby/buildkit session/content.
 */
import type { BlobSource } from '../../images/store/contract.ts';
import { GrpcError, NOT_FOUND } from './grpc.ts';
import type { Session } from './session.ts';
import { Fields, message, text } from './wire.ts';

const CONTENT = '/containerd.services.content.v1.Content';
/** header that names the store */
const STORE = 'buildkit-attachable-store-id';

/** @param store `oci:ID`, with the id of the layout's folder */
export const clientBlobs = (session: Session, store: string, signal: AbortSignal): BlobSource => ({
  async size(digest) {
    const call = session.call(`${CONTENT}/Info`, signal, { [STORE]: store });
    await call.send(message(text(1, digest)));
    call.end();
    let size: number | undefined;
    try {
      for await (const answer of call.messages) size = new Fields(answer).message(1)?.unsigned(2);
    } catch (error) {
      if (error instanceof GrpcError && error.code === NOT_FOUND) return undefined;
      throw error;
    }
    return size;
  },
  async *read(digest) {
    const call = session.call(`${CONTENT}/Read`, signal, { [STORE]: store });
    await call.send(message(text(1, digest)));
    call.end();
    try {
      for await (const answer of call.messages) yield new Fields(answer).bytes(2);
    } finally {
      call.cancel();
    }
  },
});
