/**
 * A unix socket that listens. Not node:net's Server: its `listen` loads node:cluster with node:child_process and
 * node:dgram, 3 ms of CPU, and 0.2 MB of each supervisor for as long as its container lives. Says nothing about who
 * connects.
 */
import { chmodSync } from 'node:fs';
import { constants } from 'node:os';
import { startTimer } from '../../long-timer.ts';
import { Fd, prepared } from '../fd.ts';
import { checked } from '../libc.ts';
import { systemCall } from '../system-call.ts';
import { watchReadable, type Watch } from './poll.ts';
import { unixAddress } from './socket.ts';

/** bits/socket.h, asm-generic/socket.h (x86-64) */
const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
/** connections that wait to be accepted, as node:net has it; the kernel's own limit is net.core.somaxconn */
const BACKLOG = 511;
const { EAGAIN, ECONNABORTED, EINTR } = constants.errno;
/**
 * ms until connections are looked at again where one could not be had: no descriptor was left (EMFILE), or no memory
 */
const PAUSE_MS = 200;

const socket = systemCall<(domain: number, type: number, protocol: number) => number>(
  'int socket(int domain, int type, int protocol)',
);
const bind = systemCall<(fd: number, address: Uint8Array, length: number) => number>(
  'int bind(int fd, const void *address, unsigned int length)',
);
const c_listen = systemCall<(fd: number, backlog: number) => number>('int listen(int fd, int backlog)');
const accept4 = systemCall<(fd: number, address: null, length: null, flags: number) => number>(
  'int accept4(int fd, void *address, void *length, int flags)',
);

/**
 * Listens at a path that this user alone may connect to.
 * @param path at most as long as a socket address has room for
 * @param onConnection gets each connection, non-blocking and close-on-exec
 * @returns stops listening; the path stays. @throws SyscallError EADDRINUSE where there is something already
 */
export function listenAt(path: string, onConnection: (connection: Fd) => void): Disposable {
  const fd = prepared(
    new Fd(checked(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), 'socket')),
    (number) => {
      const address = unixAddress(path);
      checked(bind(number, address, address.length), 'listen', path); // safe: address is a whole struct sockaddr_un
      // before anybody can connect
      chmodSync(path, 0o600);
      checked(c_listen(number, BACKLOG), 'listen', path);
    },
  );
  let watch: Watch;
  let cancel = () => {};
  const look = () => {
    watch = watchReadable(fd.number, () => {
      // one at a time: what is done with it may end the listening
      const connection = accept4(fd.number, null, null, SOCK_CLOEXEC | SOCK_NONBLOCK); // safe: no address is asked for
      if (connection >= 0) return onConnection(new Fd(connection));
      if ([-EAGAIN, -ECONNABORTED, -EINTR].includes(connection)) return;
      // it waits in the kernel meanwhile, and this process does not turn in circles
      watch.close();
      cancel = startTimer(PAUSE_MS, look, { unref: true });
    });
  };
  look();
  return {
    [Symbol.dispose]: () => {
      cancel();
      watch.close();
      fd.close();
    },
  };
}
