/** `POST /containers/X/attach` */
import type { Answer, Handler } from '../../http/contract.ts';
import { AttachClient } from './streams/attach-client.ts';
import { attachable, readAttach, serveAttach, wantedOf } from './streams/attach-session.ts';
import { streamType } from './streams/stream-type.ts';

export const attach: Handler = (call, engine): Answer => {
  const asked = readAttach(call.query);
  const container = attachable(engine, call);
  const { tty } = container.config.options;
  return {
    kind: 'hijack',
    type: streamType(tty, call.version),
    take: (begin) =>
      serveAttach(engine, { id: container.id, asked }, () => ({
        client: new AttachClient(begin(), { wanted: wantedOf(asked), tty, keys: asked.keys }),
      })),
  };
};
