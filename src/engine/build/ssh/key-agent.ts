/**
 * An ssh-agent(1) that has the keys of `--ssh ID=FILE` for as long as a build lasts: it lists them and signs, and knows
 * nothing else. A step reaches it through the same wall as an agent of the user's (src/rootless/build/ssh-agent.ts).
 *
 * Source: draft-miller-ssh-agent § 4
 */
import { mkdirSync, rmSync } from 'node:fs';
import { open } from '../../../host/fd.ts';
import { O_PATH } from '../../../host/files/file-at.ts';
import { O_DIRECTORY } from '../../../host/files/lookup.ts';
import { messages, say, serveMessages, type ServedAgent } from '../../../rootless/build/ssh-agent.ts';
import { field, type SshKey } from './keys.ts';

const IDENTITIES_ANSWER = 12;
const SIGN_REQUEST = 13;
const SIGN_RESPONSE = 14;
const REQUEST_IDENTITIES = 11;
const FAILURE = 5;
/** bytes of a message's length and of its type */
const HEAD = 5;
const NAME = 'agent';

/** @param folder is new, and goes with the agent */
export async function serveKeys(keys: readonly SshKey[], folder: string): Promise<ServedAgent> {
  mkdirSync(folder, { mode: 0o700 });
  const held = open(folder, O_PATH | O_DIRECTORY);
  const served = await serveMessages(folder, NAME, async (client) => {
    for await (const request of messages(client)) await say(client, answer(request, keys));
  });
  return {
    // It is this process that connects, and a data root may lie deeper than a socket's address has room for.
    path: `/proc/self/fd/${held.number}/${NAME}`,
    async [Symbol.asyncDispose]() {
      await served[Symbol.asyncDispose]();
      held.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** @param request a whole message, with its length */
function answer(request: Buffer, keys: readonly SshKey[]): Buffer {
  if (request[4] === REQUEST_IDENTITIES) {
    const list = keys.flatMap(({ blob, comment }) => [field(blob), field(comment)]);
    return message(IDENTITIES_ANSWER, [number(keys.length), ...list]);
  }
  const asked = request[4] === SIGN_REQUEST ? signRequest(request.subarray(HEAD)) : undefined;
  const key = asked && keys.find(({ blob }) => blob.equals(asked.blob));
  const signature = key?.sign(asked!.data, asked!.flags);
  return signature ? message(SIGN_RESPONSE, [field(signature)]) : message(FAILURE, []);
}

/** @returns undefined for lengths that lead out of the message */
function signRequest(bytes: Buffer): { blob: Buffer; data: Buffer; flags: number } | undefined {
  if (bytes.length < 4) return undefined;
  const dataAt = 4 + bytes.readUInt32BE(0);
  if (dataAt + 4 > bytes.length) return undefined;
  const flagsAt = dataAt + 4 + bytes.readUInt32BE(dataAt);
  if (flagsAt + 4 !== bytes.length) return undefined;
  return {
    blob: bytes.subarray(4, dataAt),
    data: bytes.subarray(dataAt + 4, flagsAt),
    flags: bytes.readUInt32BE(flagsAt),
  };
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

const message = (type: number, body: readonly Buffer[]): Buffer => field(Buffer.concat([Buffer.from([type]), ...body]));
