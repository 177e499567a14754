package output

import (
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"
	"unsafe"
)

// pty returns both ends of a terminal so many columns wide.
func pty(t *testing.T, columns uint16) (us, them *os.File) {
	t.Helper()
	us, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no terminals here: ", err)
	}
	t.Cleanup(func() { _ = us.Close() })
	var n, unlocked int32
	size := [4]uint16{24, columns}
	for _, call := range []struct {
		request uintptr
		arg     unsafe.Pointer
	}{
		{syscall.TIOCGPTN, unsafe.Pointer(&n)}, {syscall.TIOCSPTLCK, unsafe.Pointer(&unlocked)}, {syscall.TIOCSWINSZ, unsafe.Pointer(&size)},
	} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, us.Fd(), call.request, uintptr(call.arg)); errno != 0 {
			t.Skip("no terminals here: ", errno)
		}
	}
	them, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no terminals here: ", err)
	}
	return us, them
}

func TestTerminal(t *testing.T) {
	t.Parallel()
	us, them := pty(t, 100)
	screen := make(chan string)
	go func() {
		b, _ := io.ReadAll(us) // ends with an error when the other end is closed
		screen <- string(b)
	}()
	equal(t, IsTerminal(them), true)
	equal(t, width(them), 100)
	equal(t, NewProgress(them) == nil, false)
	for _, tt := range []struct {
		env  map[string]string
		want bool
	}{
		{map[string]string{"TERM": "xterm"}, true},
		{map[string]string{"TERM": "dumb"}, false},
		{map[string]string{"TERM": "xterm", "NO_COLOR": "1"}, false},
		{map[string]string{"TERM": "xterm", "NO_COLOR": ""}, true},
	} {
		equal(t, Color(them, func(k string) string { return tt.env[k] }), tt.want)
	}
	_ = them.Close()
	equal(t, <-screen, "")
}

func TestNarrowTerminal(t *testing.T) {
	t.Parallel()
	_, them := pty(t, 20)
	defer func() { _ = them.Close() }()
	equal(t, width(them), leastWidth)
}
