package postgres

import (
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func setReceiveBuffer(fd uintptr, bytes int) error {
	return syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, bytes)
}

// peek is what the system knows of a connection without reading: whether the other
// side has ended it, and how long ago the last data came (tcp(7), TCP_INFO). ok is
// false where the system does not tell.
func peek(c net.Conn) (ended bool, quiet time.Duration, ok bool) {
	for { // TLS, and what paces
		t, over := c.(interface{ NetConn() net.Conn })
		if !over {
			break
		}
		c = t.NetConn()
	}
	sc, is := c.(syscall.Conn)
	if !is {
		return false, 0, false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false, 0, false
	}
	err = raw.Control(func(fd uintptr) {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		if n, err := unix.Poll(p, 0); err == nil && n > 0 {
			ended = p[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
		}
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			quiet, ok = time.Duration(info.Last_data_recv)*time.Millisecond, true
		}
	})
	return ended, quiet, ok && err == nil
}
