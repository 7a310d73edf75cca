/**
 * The agent: started by husk-init as the VM's only service, it connects to the host and does what the host asks, one
 * container's worth. It trusts the host wholly, and the container not at all: nothing here reads a path the container
 * can change except through a launch plan.
 */
import { release } from 'node:os';
import {
  AGENT_PROTOCOL_VERSION,
  CONTROL_PORT,
  encodeMessage,
  MAX_REQUEST,
  MessageDecoder,
  type Message,
} from '../agent-protocol.ts';
import { failureOf } from '../container/files/main.ts';
import { DescriptorStream } from '../host/streams/descriptor-stream.ts';
import { connectVsock } from '../host/streams/vsock.ts';
import { Machine } from './machine.ts';
import { HOST_CID } from './streams.ts';

function serve(): void {
  const control = new DescriptorStream(connectVsock(HOST_CID, CONTROL_PORT));
  const send = (message: Message) => void control.write(encodeMessage(message));
  const machine = new Machine((notice) => send({ kind: 'notice', notice }));
  const decoder = new MessageDecoder(MAX_REQUEST);

  async function answer(message: Message): Promise<void> {
    if (message.kind !== 'request') return;
    try {
      const value = await machine.handle(message.request);
      send({ kind: 'reply', id: message.id, value });
    } catch (error) {
      const exitCode = (error as { exitCode?: unknown }).exitCode;
      const { kind: errorKind, message: text } = failureOf(error);
      send({
        kind: 'error',
        id: message.id,
        message: text,
        errorKind,
        ...(typeof exitCode === 'number' ? { exitCode } : {}),
      });
    }
  }

  control.on('data', (chunk: Buffer) => {
    for (const message of decoder.push(chunk)) void answer(message as Message);
  });
  // without a host there is nothing to serve: husk-init switches the machine off
  control.on('close', () => process.exit(0));
  control.on('error', (error) => {
    console.error(`agent: control connection: ${error.message}`);
    process.exit(1);
  });
  send({ kind: 'notice', notice: { type: 'ready', version: AGENT_PROTOCOL_VERSION, kernel: release() } });
}

serve();
