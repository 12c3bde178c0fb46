package faultnet

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// echo answers everything with itself.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

func say(t *testing.T, c net.Conn, word string) {
	t.Helper()
	if _, err := io.WriteString(c, word); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, c net.Conn, word string) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(60 * time.Second))
	got := make([]byte, len(word))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != word {
		t.Fatalf("heard %q, %v; want %q", got, err, word)
	}
}

func dial(t *testing.T, l *Link) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestLinkIsCutAndHeals passes words through a link in all its states.
func TestLinkIsCutAndHeals(t *testing.T) {
	l, err := Open("127.0.0.1:0", echo(t))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	old := dial(t, l)
	say(t, old, "one")
	hear(t, old, "one")

	l.Mute()
	say(t, old, "two") // kept by the network
	fresh := dial(t, l)
	say(t, fresh, "three")
	for _, c := range []net.Conn{old, fresh} {
		c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if n, err := c.Read(make([]byte, 8)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("through a silent link came %d bytes, %v", n, err)
		}
	}
	if err := l.Heal(); err != nil {
		t.Fatal(err)
	}
	hear(t, old, "two")
	hear(t, fresh, "three")

	l.Refuse()
	old.SetReadDeadline(time.Now().Add(60 * time.Second))
	if _, err := old.Read(make([]byte, 8)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("an old connection through a refusing link: %v", err)
	}
	if c, err := net.Dial("tcp", l.Address); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a new one: %v, %v", c, err)
	}
	if err := l.Heal(); err != nil {
		t.Fatal(err)
	}
	again := dial(t, l)
	say(t, again, "four")
	hear(t, again, "four")
	if l.Carried.Load() != 2*int64(len("onetwothreefour")) {
		t.Errorf("carried %d bytes", l.Carried.Load())
	}
}

// TestLinkPassesTheEndOn: one side's end of what it says is heard on the other, which may still answer.
func TestLinkPassesTheEndOn(t *testing.T) {
	l, err := Open("127.0.0.1:0", echo(t))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := dial(t, l)
	say(t, c, "last")
	c.(*net.TCPConn).CloseWrite()
	c.SetReadDeadline(time.Now().Add(60 * time.Second))
	if got, err := io.ReadAll(c); err != nil || string(got) != "last" {
		t.Errorf("heard %q, %v", got, err)
	}
}
