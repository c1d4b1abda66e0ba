package aegistest_test

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
	"github.com/aegis-sidecar/aegis/clients/go/aegistest"
)

// TestMain runs the tests, or what one of them wants to happen in a process of its own.
func TestMain(m *testing.M) {
	switch os.Getenv("AEGIS_TEST_OTHER") {
	case "parent":
		startADaemon()
	case "agent":
		waitForAReviewer()
	default:
		os.Exit(m.Run())
	}
}

func startADaemon() {
	daemon, err := aegistest.New(policy)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(daemon.Endpoint)
	select {}
}

// waitForAReviewer is the recipe of the README.
func waitForAReviewer() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	agent, err := aegis.New()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("waiting")
	_, err = aegis.Govern(ctx, agent, aegis.Action{Type: "write_contacts"}, func(context.Context, aegis.Decision) (int, error) {
		return 0, nil
	})
	fmt.Println(err)
}

// another starts this test binary once more, and returns it with the first line that it writes.
func another(t *testing.T, does string, environment ...string) (*exec.Cmd, string) {
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), append(environment, "AEGIS_TEST_OTHER="+does)...)
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return command, strings.TrimSpace(line)
}

// eventually waits until something is so.
func eventually(t *testing.T, so func() bool) bool {
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if so() {
			return true
		}
	}
	return false
}

func TestADaemonEndsWithItsParentHoweverThatEnds(t *testing.T) {
	for _, how := range []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGKILL} {
		t.Run(how.String(), func(t *testing.T) {
			parent, endpoint := another(t, "parent")
			address := strings.TrimPrefix(endpoint, "http://")
			serves := func() bool {
				connection, err := net.Dial("tcp", address)
				if err != nil {
					return false
				}
				_ = connection.Close()
				return true
			}
			if !serves() {
				t.Fatal("the daemon does not serve while its parent lives")
			}
			if err := parent.Process.Signal(how); err != nil {
				t.Fatal(err)
			}
			if !eventually(t, func() bool { return !serves() }) {
				t.Error("the daemon still serves")
			}
		})
	}
}

func TestAProposalIsWithdrawnWhenItsAgentIsAskedToEnd(t *testing.T) {
	daemon := aegistest.Start(t, policy)
	agent, _ := another(t, "agent", "AEGIS_ENDPOINT="+daemon.Endpoint, "AEGIS_TOKEN=")
	if _, err := daemon.Pending(t.Context(), "write_contacts"); err != nil {
		t.Fatal(err)
	}
	if err := agent.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	withdrawn := func() bool {
		rows, err := daemon.Rows(t.Context())
		return err == nil && len(rows) == 1 && rows[0].Ending != nil && rows[0].Ending.Kind == aegis.EndingCancelled
	}
	if !eventually(t, withdrawn) {
		rows, err := daemon.Rows(t.Context())
		t.Errorf("%+v %v", rows, err)
	}
}
