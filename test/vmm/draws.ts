/** What programs of the image of runtimes.ts draw by chance, and how they are asked. */
import { hasOpenssl, hasPython } from './runtimes.ts';

/** the server's port: the kernel chooses the client's by a secret of its own and by the addresses of both ends */
const PORT = 7000;
/**
 * What a program draws: after its name, the words that it writes a line for, each with what was drawn. Ports are three
 * each time, because one out of 28,000 may well be the same in two of twenty machines. The key of a TLS session is made
 * of what both ends draw, as the secret that they share here is always the same.
 */
export const DRAWS: [program: string, words: string[], command: [string, ...string[]]][] = [
  [
    'the kernel',
    ['urandom', 'random', 'uuid', 'boot_id', 'file'],
    [
      'sh',
      '-c',
      `for name in urandom random; do echo $name $(head -c 16 /dev/$name | od -An -tx1); done
      for name in uuid boot_id; do echo $name $(cat /proc/sys/kernel/random/$name); done
      echo file $(mktemp -u)`,
    ],
  ],
  [
    'Node',
    ['bytes', 'uuid', 'seed', 'key', 'tickets', 'session', 'listens', 'connects'],
    [
      'node',
      '-e',
      `const crypto = require('node:crypto'), net = require('node:net'), tls = require('node:tls');
      const { once } = require('node:events');
      const say = (word, ...drawn) => console.log([word, ...drawn].join(' '));
      say('bytes', crypto.randomBytes(16).toString('hex'));
      say('uuid', crypto.randomUUID());
      say('seed', Math.random());
      say('key', crypto.generateKeyPairSync('x25519').publicKey.export({ format: 'der', type: 'spki' }).toString('hex'));
      const psk = Buffer.alloc(32, 1), version = 'TLSv1.2', ciphers = 'PSK-AES128-GCM-SHA256';
      const shared = { ciphers, minVersion: version, maxVersion: version };
      (async () => {
        const secure = tls.createServer({ ...shared, pskCallback: () => psk });
        say('tickets', secure.getTicketKeys().toString('hex'));
        secure.listen(0, '127.0.0.1');
        await once(secure, 'listening');
        const client = tls.connect({ ...shared, port: secure.address().port, host: '127.0.0.1',
          checkServerIdentity: () => {}, pskCallback: () => ({ psk, identity: 'one' }) });
        await once(client, 'secureConnect');
        say('session', client.exportKeyingMaterial(32, 'husk').toString('hex'));
        const listens = [], connects = [];
        for (let i = 0; i < 3; i++) {
          const server = net.createServer().listen(0, '127.0.0.1');
          await once(server, 'listening');
          listens.push(server.address().port);
        }
        await once(net.createServer().listen(${PORT}, '0.0.0.0'), 'listening');
        for (let i = 1; i <= 3; i++) {
          const socket = net.connect(${PORT}, '127.0.0.' + i);
          await once(socket, 'connect');
          connects.push(socket.localPort);
        }
        say('listens', ...listens);
        say('connects', ...connects);
        process.exit(0);
      })();`,
    ],
  ],
  ...(hasPython
    ? ([
        [
          'Python',
          ['bytes', 'seed', 'uuid', 'secret', 'tls', 'hash'],
          [
            'python3.11',
            '-c',
            [
              'import os, random, secrets, ssl, uuid',
              `for word, drawn in [('bytes', os.urandom(16).hex()), ('seed', random.randbytes(16).hex()), ('uuid', uuid.uuid4()),
                ('secret', secrets.token_hex()), ('tls', ssl.RAND_bytes(16).hex()), ('hash', hash('husk'))]: print(word, drawn)`,
            ].join('\n'),
          ],
        ],
      ] satisfies typeof DRAWS)
    : []),
  ...(hasOpenssl
    ? ([['OpenSSL', ['bytes'], ['sh', '-c', 'echo bytes $(openssl rand -hex 16)']]] satisfies typeof DRAWS)
    : []),
];

/** A command for a shell, each word as it is. */
const quoted = (command: string[]) => command.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ');

/** all of it as a script: a line for each word, in the order of DRAWS */
export const DRAW: string = DRAWS.map(([, , command]) => quoted(command)).join(' && ');
