/** dig(1) asks a name server of the test's: somebody else's reading of our bytes. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { TIMEOUT } from '../../fixtures/user.ts';
import { ADDRESS } from './loopback.ts';

export interface Dug {
  status: string;
  /** `qr rd ra` */
  flags: string;
  /** name, time to live, type, value */
  answers: string[];
  /** what EDNS says, without the comment's signs; undefined: there is none */
  edns: string | undefined;
  question: string;
  text: string;
}

/** @returns what the server said; status `none` when that was nothing */
export async function dig(port: number, ...args: string[]): Promise<Dug> {
  const command = [
    '-r',
    `@${ADDRESS}`,
    '-p',
    String(port),
    '+tries=1',
    '+nocookie',
    '+noednsnegotiation',
    '+time=60',
    ...args,
  ];
  const { stdout } = await promisify(execFile)('dig', command, { timeout: TIMEOUT }).catch((error) => error);
  return read(String(stdout));
}

/** dig's own form of a message → its parts */
function read(text: string): Dug {
  const lines = text.split('\n');
  const after = (title: string) => {
    const from = lines.findIndex((line) => line.startsWith(`;; ${title}`));
    return from === -1 ? [] : lines.slice(from + 1, lines.indexOf('', from));
  };
  return {
    status: /status: (\w+)/.exec(text)?.[1] ?? 'none',
    flags: /;; flags: ([^;]*);/.exec(text)?.[1] ?? '',
    answers: after('ANSWER SECTION').map((line) => line.replaceAll(/\s+/g, ' ')),
    edns: /; EDNS: (.*)/.exec(text)?.[1],
    question: after('QUESTION SECTION').join().replaceAll(/\s+/g, ' '),
    text,
  };
}
