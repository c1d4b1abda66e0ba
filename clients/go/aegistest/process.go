package aegistest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// startsWithin is longer than a daemon takes to start, however busy the machine is.
const startsWithin = time.Minute

// A process is a daemon that runs.
type process struct {
	endpoint string
	command  *exec.Cmd
	log      *log
	reaped   sync.Once
}

// running holds on to the processes that run, and so to the pipes on their standard inputs: when such a pipe is closed, its process
// ends. The system closes it when this process ends; nothing else may, also when nobody refers to a [Daemon] any more.
var running sync.Map

func startProcess(binary string, arguments []string) (*process, error) {
	started := &process{command: exec.Command(binary, arguments...), log: &log{}}
	// What configures the tests is not for the daemon.
	started.command.Env = []string{"PATH=" + os.Getenv("PATH")}
	started.command.Stderr = started.log
	stdout, err := started.command.StdoutPipe()
	if err == nil {
		_, err = started.command.StdinPipe()
	}
	if err != nil {
		return nil, fmt.Errorf("aegistest: the daemon cannot be started: %w", err)
	}
	if err := started.command.Start(); err != nil {
		return nil, fmt.Errorf("aegistest: the daemon cannot be started: %w", err)
	}
	running.Store(started, true)
	lines := make(chan string, 1)
	go func() {
		reader := bufio.NewReader(stdout)
		line, _ := reader.ReadString('\n')
		lines <- line
		// So that the daemon never writes into a pipe that is full.
		_, _ = io.Copy(io.Discard, reader)
	}()
	var line string
	select {
	case line = <-lines:
	case <-time.After(startsWithin):
		line = "it said nothing"
	}
	endpoint, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	if !ok {
		err := started.kill()
		return nil, errors.Join(fmt.Errorf("aegistest: the daemon did not start: %s%s", line, started.log), err)
	}
	started.endpoint = endpoint
	return started, nil
}

// kill ends the process. Once is enough.
func (p *process) kill() (err error) {
	p.reaped.Do(func() {
		defer running.Delete(p)
		err = p.command.Process.Kill()
		if errors.Is(err, os.ErrProcessDone) {
			err = nil
		}
		// That it was killed is no news.
		_ = p.command.Wait()
	})
	return err
}

// A log is what a process writes, for whoever asks meanwhile.
type log struct {
	lock sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(text []byte) (int, error) {
	l.lock.Lock()
	defer l.lock.Unlock()
	return l.text.Write(text)
}

func (l *log) String() string {
	l.lock.Lock()
	defer l.lock.Unlock()
	return l.text.String()
}
