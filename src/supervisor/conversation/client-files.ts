/**
 * One answer about a container's files over a client's connection: it is sent at the client's pace, and cut off when
 * the client goes.
 */
import { PassThrough, type Readable } from 'node:stream';
import { HuskError } from '../../errors.ts';
import type { FilesRequest } from '../../sandbox.ts';
import { errorEvent, type ClientConnection } from './client-connection.ts';
import type { ContainerControl } from '../life/control.ts';
import type { Event } from '../protocol/protocol.ts';

export class FilesAnswer {
  /** what the client sends goes here, up to its end; undefined when the request takes no input */
  readonly input: PassThrough | undefined;
  readonly #output: Readable;

  /** @throws HuskError when the files cannot be asked for */
  constructor(control: ContainerControl, request: FilesRequest) {
    this.input = request.op === 'extract' ? new PassThrough() : undefined;
    // a failure of the input is told by the answer
    this.input?.on('error', () => {});
    this.#output = control.files(request, this.input);
  }

  /** Never rejects. @returns the event that ends the answer */
  async send(connection: ClientConnection): Promise<Event> {
    const cut = () => {
      this.#output.destroy();
      this.input?.destroy(new HuskError('the client went away', { kind: 'unavailable' }));
    };
    connection.onceClosed(cut);
    if (connection.isClosed) cut();
    try {
      for await (const chunk of this.#output) {
        const isReady = connection.write('stdout', chunk as Buffer);
        if (!isReady && !connection.isClosed) await new Promise<void>((resolve) => connection.onceDrained(resolve));
      }
      return { type: 'exit', code: 0 };
    } catch (error) {
      return errorEvent(error);
    } finally {
      connection.offClosed(cut);
      this.input?.destroy();
    }
  }
}
