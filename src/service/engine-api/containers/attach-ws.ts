/** `GET /containers/X/attach/ws`: attach over a WebSocket, whose bytes are in no frames of Docker's. */
import type { Handler } from '../../http/contract.ts';
import { AttachClient } from './streams/attach-client.ts';
import { attachable, readAttach, serveAttach, wantedOf } from './streams/attach-session.ts';
import { acceptKey, webSocketStream } from './streams/web-socket.ts';

export const attachWebSocket: Handler = (call, engine) => {
  const asked = readAttach(call.query);
  const { id, config } = attachable(engine, call);
  const { tty } = config.options;
  return {
    kind: 'hijack',
    headers: { 'Sec-WebSocket-Accept': acceptKey(call.headers) },
    take: (begin) =>
      serveAttach(engine, { id, asked }, () => {
        const { stream, signal } = begin();
        const socket = webSocketStream(stream);
        const client = new AttachClient(
          { stream: socket, signal },
          { wanted: wantedOf(asked), tty, keys: asked.keys, multiplexed: false },
        );
        return { client, end: () => void socket.end() };
      }),
  };
};
