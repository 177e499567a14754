package registrytest

import (
	"net"
	"sync/atomic"
	"time"
)

// listener counts the bytes of its connections, and delays their handshakes.
type listener struct {
	net.Listener
	handshakes time.Duration // of each connection
	in, out    atomic.Int64
	accepted   atomic.Int64
}

// listen adds to l what c asks for. TCP takes one round trip before the client can send
// anything, and TLS 1.3 one more before it can send a request.
func listen(l net.Listener, c *config) *listener {
	handshakes := c.latency
	if c.tls {
		handshakes += c.latency
	}
	return &listener{Listener: l, handshakes: handshakes}
}

// Accept waits for a connection.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.accepted.Add(1)
	return &conn{Conn: c, listener: l, ready: time.Now().Add(l.handshakes)}, nil
}

// Connections returns the number of connections clients have opened.
func (s *Server) Connections() int { return int(s.listener.accepted.Load()) }

type conn struct {
	net.Conn
	listener *listener
	ready    time.Time // when the first bytes can be read
}

// Read reads and counts.
func (c *conn) Read(p []byte) (int, error) {
	if d := time.Until(c.ready); d > 0 {
		<-time.After(d)
	}
	n, err := c.Conn.Read(p)
	c.listener.in.Add(int64(n))
	return n, err
}

// Write counts and writes, so that the count is there when the client has the bytes.
func (c *conn) Write(p []byte) (int, error) {
	c.listener.out.Add(int64(len(p)))
	return c.Conn.Write(p)
}
