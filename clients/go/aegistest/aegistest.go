// Package aegistest starts a real daemon for tests: on a free port, with a policy and a data directory of its own.
//
//	daemon := aegistest.Start(t, policy)
//	agent := daemon.Agent()
//
// It ends when the test is over, and with the process of the test, however that ends: SIGTERM and SIGKILL included.
//
// The binary is the one that AEGIS_BIN names, else that of a build (target/debug or target/release of a directory above),
// else `aegis` on the PATH.
package aegistest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
	"github.com/aegis-sidecar/aegis/clients/go/aegisv1"
)

// A Daemon is one that runs for a test. Its methods may be called by any number of goroutines, but for [Daemon.Kill],
// [Daemon.Restart] and [Daemon.Stop].
type Daemon struct {
	// Endpoint is where agents find it: http://127.0.0.1:PORT.
	Endpoint string
	// UnixEndpoint is where agents find it as well: unix:/PATH.
	UnixEndpoint string
	// OwnerEndpoint is where reviewers, auditors and admins find it, who are not agents there: unix:/PATH.
	OwnerEndpoint string
	// DataDir is its data directory.
	DataDir string
	// PolicyFile is its policy file. Empty where it runs with the starter policy.
	PolicyFile string

	binary    string
	arguments []string
	home      string
	process   *process

	lock    sync.Mutex
	clients []*aegis.Client
	owner   *aegis.Client
}

// An Option says more about how to start a daemon.
type Option func(*Daemon)

// WithArguments adds arguments of `aegis serve`, for example "--unreported-after", "1s".
func WithArguments(arguments ...string) Option {
	return func(d *Daemon) { d.arguments = append(d.arguments, arguments...) }
}

// Start starts a daemon for a test, and stops it when the test is over. The policy is YAML; empty, it is the starter policy.
// The test fails at once where the daemon cannot be started, and its log is shown where the test fails.
func Start(t testing.TB, policy string, options ...Option) *Daemon {
	t.Helper()
	daemon, err := New(policy, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the daemon's log:\n%s", daemon.Log())
		}
		if err := daemon.Stop(); err != nil {
			t.Error(err)
		}
	})
	return daemon
}

// New starts a daemon where there is no test. The policy is as for [Start]. Stop it when it is no longer needed.
func New(policy string, options ...Option) (*Daemon, error) {
	binary, err := Binary()
	if err != nil {
		return nil, err
	}
	// Not in the test's own directory: the path of a unix socket has to be short.
	home, err := os.MkdirTemp("", "aegis-test-")
	if err != nil {
		return nil, fmt.Errorf("aegistest: no directory for the daemon: %w", err)
	}
	daemon := &Daemon{binary: binary, home: home, DataDir: filepath.Join(home, "data"), UnixEndpoint: "unix:" + filepath.Join(home, "agent.sock")}
	daemon.OwnerEndpoint = "unix:" + filepath.Join(daemon.DataDir, "aegis.sock")
	for _, option := range options {
		option(daemon)
	}
	if policy != "" {
		daemon.PolicyFile = filepath.Join(home, "policy.yaml")
		err = os.WriteFile(daemon.PolicyFile, []byte(policy), 0o600)
	}
	if err == nil {
		err = daemon.start("0")
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(home))
	}
	return daemon, nil
}

// Binary is the daemon's binary that [Start] starts.
func Binary() (string, error) {
	if named := os.Getenv("AEGIS_BIN"); named != "" {
		if _, err := os.Stat(named); err != nil {
			return "", fmt.Errorf("aegistest: AEGIS_BIN names no binary: %w", err)
		}
		return filepath.Abs(named)
	}
	if built := builtBinary(); built != "" {
		return built, nil
	}
	found, err := exec.LookPath("aegis")
	if err != nil {
		return "", errors.New("aegistest: there is no daemon: set AEGIS_BIN to the binary `aegis`, or put it on the PATH")
	}
	return found, nil
}

// builtBinary is the newest that was built in a directory above, or empty.
func builtBinary() string {
	directory, err := os.Getwd()
	if err != nil {
		return ""
	}
	for {
		var newest string
		var built time.Time
		for _, profile := range []string{"debug", "release"} {
			candidate := filepath.Join(directory, "target", profile, "aegis")
			if info, err := os.Stat(candidate); err == nil && info.Mode().IsRegular() && info.ModTime().After(built) {
				newest, built = candidate, info.ModTime()
			}
		}
		if newest != "" {
			return newest
		}
		above := filepath.Dir(directory)
		if above == directory {
			return ""
		}
		directory = above
	}
}

// Agent makes a client of an anonymous agent. It is closed with the daemon. It panics where an option is wrong.
func (d *Daemon) Agent(options ...aegis.Option) *aegis.Client {
	return d.client(append([]aegis.Option{aegis.WithEndpoint(d.Endpoint)}, options...))
}

// Reviewer makes a client of a reviewer. It is closed with the daemon. It panics where an option is wrong.
func (d *Daemon) Reviewer(options ...aegis.Option) *aegis.Client {
	return d.client(append([]aegis.Option{aegis.WithEndpoint(d.OwnerEndpoint)}, options...))
}

// Auditor makes a client of an auditor. It is closed with the daemon. It panics where an option is wrong.
func (d *Daemon) Auditor(options ...aegis.Option) *aegis.Client { return d.Reviewer(options...) }

func (d *Daemon) client(options []aegis.Option) *aegis.Client {
	// The tests' environment is not the agent's.
	client, err := aegis.New(append([]aegis.Option{aegis.WithToken("")}, options...)...)
	if err != nil {
		panic(err)
	}
	d.lock.Lock()
	defer d.lock.Unlock()
	d.clients = append(d.clients, client)
	return client
}

// owned is the one client of the reviewer, auditor and admin that this package itself uses.
func (d *Daemon) owned() *aegis.Client {
	d.lock.Lock()
	owner := d.owner
	d.lock.Unlock()
	if owner != nil {
		return owner
	}
	owner = d.Reviewer()
	d.lock.Lock()
	defer d.lock.Unlock()
	d.owner = owner
	return owner
}

// Pending waits until an approval for an action of this type is pending.
func (d *Daemon) Pending(ctx context.Context, actionType string) (aegis.Approval, error) {
	for event, err := range d.owned().StreamApprovals(ctx, aegis.ApprovalFilter{ActionType: actionType}) {
		if err != nil {
			return aegis.Approval{}, fmt.Errorf("aegistest: no approval for %s became pending: %w", actionType, err)
		}
		if event.Kind == aegis.ApprovalPending {
			return event.Approval, nil
		}
	}
	return aegis.Approval{}, fmt.Errorf("aegistest: no approval for %s became pending", actionType)
}

// Approve waits until an approval for an action of this type is pending, and says yes. It returns the approval with its
// ending: denied, where the policy blocks the action by now.
func (d *Daemon) Approve(ctx context.Context, actionType, reason string) (*aegis.Approval, error) {
	approval, err := d.Pending(ctx, actionType)
	if err != nil {
		return nil, err
	}
	return d.owned().Approve(ctx, approval, reason)
}

// Deny waits until an approval for an action of this type is pending, and says no.
func (d *Daemon) Deny(ctx context.Context, actionType, reason string) (*aegis.Approval, error) {
	approval, err := d.Pending(ctx, actionType)
	if err != nil {
		return nil, err
	}
	return d.owned().Deny(ctx, approval, reason)
}

// ApproveAll is an approval handler that says yes to everything: for tests only. It answers as the client that stands
// beside it in [aegis.WithApprovalHandler], for example [Daemon.Reviewer].
func ApproveAll(context.Context, aegis.Approval) (aegis.ApprovalAnswer, error) {
	return aegis.ApprovalAnswer{Approved: true, Reason: "approved by the test"}, nil
}

// Rows are the rows of the record, oldest first.
func (d *Daemon) Rows(ctx context.Context) ([]aegis.AuditRow, error) {
	var rows []aegis.AuditRow
	for row, err := range d.owned().StreamAudit(ctx, aegis.AuditQuery{}) {
		if err != nil {
			return nil, fmt.Errorf("aegistest: the record cannot be read: %w", err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// SetPolicy changes the daemon's policy file, and returns when the new policy is in force. There is an error where the daemon
// refuses it; then the file holds again what it held.
func (d *Daemon) SetPolicy(ctx context.Context, policy string) error {
	if d.PolicyFile == "" {
		return errors.New("aegistest: this daemon runs with the starter policy and has no file: start it with a policy")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	watch, err := aegisv1.NewPolicyServiceClient(d.owned().Conn()).WatchPolicy(ctx, &aegisv1.WatchPolicyRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return fmt.Errorf("aegistest: the policy cannot be watched: %w", err)
	}
	before, err := os.ReadFile(d.PolicyFile)
	if err != nil {
		return fmt.Errorf("aegistest: the policy cannot be read: %w", err)
	}
	for written := false; ; {
		change, err := watch.Recv()
		if err != nil {
			return fmt.Errorf("aegistest: the policy did not come into force: %w", err)
		}
		if refused := change.GetRejected(); refused != nil && written {
			refusal := fmt.Errorf("aegistest: the daemon refuses the policy: %v", refused.GetErrors())
			return errors.Join(refusal, d.writePolicy(before))
		}
		if layers := change.GetLoaded().GetLayers(); len(layers) == 1 && layers[0].GetYaml() == policy {
			return nil
		}
		if change.GetLoaded() != nil && !written {
			if err := d.writePolicy([]byte(policy)); err != nil {
				return err
			}
			written = true
		}
	}
}

// writePolicy changes the file at one blow, so that the daemon never reads half of it.
func (d *Daemon) writePolicy(policy []byte) error {
	fresh := d.PolicyFile + ".new"
	if err := os.WriteFile(fresh, policy, 0o600); err != nil {
		return fmt.Errorf("aegistest: the policy cannot be written: %w", err)
	}
	if err := os.Rename(fresh, d.PolicyFile); err != nil {
		return fmt.Errorf("aegistest: the policy cannot be written: %w", err)
	}
	return nil
}

// Log is what the daemon has logged.
func (d *Daemon) Log() string { return d.process.log.String() }

// Kill ends the daemon as a crash would: SIGKILL.
func (d *Daemon) Kill() error { return d.process.kill() }

// Restart starts the daemon again, with the same data on the same port, whether it runs or not.
func (d *Daemon) Restart() error {
	if err := d.Kill(); err != nil {
		return err
	}
	return d.start(d.Endpoint[strings.LastIndex(d.Endpoint, ":")+1:])
}

// Stop ends the daemon and its clients, and removes its data.
func (d *Daemon) Stop() error {
	d.lock.Lock()
	clients := d.clients
	d.clients = nil
	d.lock.Unlock()
	var failed []error
	for _, client := range clients {
		failed = append(failed, client.Close())
	}
	return errors.Join(append(failed, d.process.kill(), os.RemoveAll(d.home))...)
}

func (d *Daemon) start(port string) error {
	// It ends with this process, even where that is killed and nobody calls Stop.
	arguments := []string{"serve", "--ends-with-parent"}
	if d.PolicyFile != "" {
		arguments = append(arguments, d.PolicyFile)
	}
	arguments = append(arguments, "--port", port, "--data-dir", d.DataDir, "--admin-listen", "off",
		"--uds", strings.TrimPrefix(d.UnixEndpoint, "unix:"))
	started, err := startProcess(d.binary, append(arguments, d.arguments...))
	if err != nil {
		return err
	}
	d.process, d.Endpoint = started, started.endpoint
	return nil
}
