# SPDX-License-Identifier: MIT
"""A guest's ring, attached to the daemon as a VMM does (xenstored-vmm(7)).

Ring looks like a connected stream socket, as far as xswire.py needs one.
"""
import fcntl
import mmap
import os
import select
import socket
import struct
import time

SIZE = 1024
REQ_CONS, REQ_PROD, RSP_CONS, RSP_PROD = 2048, 2052, 2056, 2060
MESSAGE = struct.Struct('=8I2Q80s')
ATTACH, INTRODUCE = 1, 1
F_ADD_SEALS, F_SEAL_SHRINK = 1033, 2


class VMM:
    """All guests go when it does."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.connect(path)

    def attach(self, domid):
        page = os.memfd_create('guest', os.MFD_ALLOW_SEALING)
        os.ftruncate(page, 4096)
        fcntl.fcntl(page, F_ADD_SEALS, F_SEAL_SHRINK)
        kick = os.eventfd(0, os.EFD_NONBLOCK)
        ours, theirs = socket.socketpair()
        message = MESSAGE.pack(1, ATTACH, 0, domid, INTRODUCE, 0, 0, 0, 0, 0,
                               b'')
        socket.send_fds(self.sock, [message], [page, kick, theirs.fileno()])
        error = MESSAGE.unpack(self.sock.recv(MESSAGE.size))[6]
        if error:
            raise OSError(error, 'attach')
        theirs.close()
        return Ring(mmap.mmap(page, 4096), kick, ours)


class Ring:
    def __init__(self, page, kick, notified):
        self.page, self.kick, self.notified = page, kick, notified
        self.pending = b''

    def index(self, at):
        return struct.unpack_from('=I', self.page, at)[0]

    def publish(self, at, value):
        struct.pack_into('=I', self.page, at, value & 0xffffffff)

    def wait(self, end):
        left = end - time.monotonic()
        if left < 0:
            raise TimeoutError('the daemon does not answer the ring')
        if select.select([self.notified], [], [], min(left, 1))[0]:
            self.notified.recv(4096)

    def collect(self):
        """Takes what has come; whether it was anything."""
        cons, got = self.index(RSP_CONS), b''
        n = (self.index(RSP_PROD) - cons) & 0xffffffff
        for i in range(n):
            at = SIZE + (cons + i) % SIZE
            got += self.page[at:at + 1]
        self.publish(RSP_CONS, cons + n)
        if n:
            os.eventfd_write(self.kick, 1)
        self.pending += got
        return n > 0

    def sendall(self, data):
        end = time.monotonic() + 20
        while data:
            prod = self.index(REQ_PROD)
            room = SIZE - ((prod - self.index(REQ_CONS)) & 0xffffffff)
            for i, byte in enumerate(data[:room]):
                self.page[(prod + i) % SIZE] = byte
            self.publish(REQ_PROD, prod + min(room, len(data)))
            os.eventfd_write(self.kick, 1)
            data = data[room:]
            if data and not self.collect():
                self.wait(end)

    def recv(self, most):
        end = time.monotonic() + 20
        while not self.pending and not self.collect():
            self.wait(end)
        got, self.pending = self.pending[:most], self.pending[most:]
        return got
