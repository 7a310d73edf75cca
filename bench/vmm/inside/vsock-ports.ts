/**
 * The host's own AF_VSOCK ports, where QEMU's guest connects by vhost-vsock: stands for husk's vsock device before
 * AgentClient.
 */
import { DescriptorStream } from '../../../src/host/streams/descriptor-stream.ts';
import { Fd } from '../../../src/host/fd.ts';
import { checked } from '../../../src/host/libc.ts';
import { systemCall } from '../../../src/host/system-call.ts';
import { watchReadable } from '../../../src/host/streams/poll.ts';
import type { Listener } from '../../../src/vmm/agent-client.ts';

/** linux/socket.h, bits/socket.h, linux/vm_sockets.h */
const AF_VSOCK = 40;
const SOCK_STREAM = 1;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const VMADDR_CID_ANY = 0xffff_ffff;
const SOCKADDR_VM = 16;

const socket = systemCall<(domain: number, type: number, protocol: number) => number>(
  'int socket(int domain, int type, int protocol)',
);
const bind = systemCall<(fd: number, address: Uint8Array, length: number) => number>(
  'int bind(int fd, const void *address, unsigned int length)',
);
const listen = systemCall<(fd: number, backlog: number) => number>('int listen(int fd, int backlog)');
const accept4 = systemCall<(fd: number, address: null, length: null, flags: number) => number>(
  'int accept4(int fd, void *address, void *length, int flags)',
);

export const vsockPorts: Listener = {
  listen(port, accept) {
    const fd = checked(socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 'socket');
    const address = Buffer.alloc(SOCKADDR_VM);
    address.writeUInt16LE(AF_VSOCK, 0);
    address.writeUInt32LE(port, 4);
    address.writeUInt32LE(VMADDR_CID_ANY, 8);
    // safe: the kernel reads SOCKADDR_VM bytes of a buffer that long
    checked(bind(fd, address, SOCKADDR_VM), 'bind', `vsock port ${port}`);
    checked(listen(fd, 16), 'listen');
    const watch = watchReadable(fd, () => {
      const stream = new DescriptorStream(
        new Fd(checked(accept4(fd, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC), 'accept4')),
      );
      // a machine that is switched off resets what is open
      stream.on('error', () => {});
      accept(stream);
    });
    watch.unref();
  },
};
