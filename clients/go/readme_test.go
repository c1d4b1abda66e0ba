package aegis_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What the blocks of README.md take for granted.
const granted = `package readme

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
	"github.com/aegis-sidecar/aegis/clients/go/aegishttp"
	"github.com/aegis-sidecar/aegis/clients/go/aegistest"
)

var (
	ctx                       context.Context
	err                       error
	client, reviewer, auditor *aegis.Client
	action                    aegis.Action
	actions                   []aegis.Action
	executor                  aegis.Executor
	rows, policy              string
)

// A block need not use every package.
var _ = []any{
	errors.New, fmt.Print, log.Print, http.Get, os.Exit, signal.Stop, syscall.Kill, testing.Short, time.Now, aegishttp.NewTransport, aegistest.New,
}

func readContacts(context.Context, aegis.Decision) (string, error) { return "", nil }

func undo(aegis.Action, error) (aegis.Action, bool) { return aegis.Action{}, false }

func askMyUser(context.Context, aegis.Action, aegis.Decision) (bool, error) { return true, nil }
`

// TestReadme compiles every `go` block of README.md, in a package that exists for the compiler only.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	source := granted
	blocks := regexp.MustCompile("(?ms)^```go\n(.*?)^```$").FindAllSubmatchIndex(readme, -1)
	if len(blocks) < 5 {
		t.Fatal("README.md has lost its examples")
	}
	for i, block := range blocks {
		code := string(readme[block[2]:block[3]])
		if !strings.HasPrefix(code, "func ") {
			code = fmt.Sprintf("func block%d() {\n%s}\n", i, code)
		}
		source += fmt.Sprintf("\n// Block %d, line %d.\n%s", i, 1+strings.Count(string(readme[:block[2]]), "\n"), code)
	}

	directory := t.TempDir()
	here, err := filepath.Abs("readme/readme.go")
	if err != nil {
		t.Fatal(err)
	}
	file, overlay := filepath.Join(directory, "readme.go"), filepath.Join(directory, "overlay.json")
	mapping, err := json.Marshal(map[string]any{"Replace": map[string]string{here: file}})
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string][]byte{file: []byte(source), overlay: mapping} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// -e: every error, not only the first ten.
	build := exec.Command("go", "build", "-gcflags=-e", "-overlay", overlay, "-o", os.DevNull, "./readme")
	output, err := build.CombinedOutput()
	if err == nil {
		return
	}
	var wrong []string
	for line := range strings.Lines(string(output)) {
		// What a block only shows need not be used.
		if !strings.HasPrefix(line, "#") && !strings.Contains(line, "declared and not used") {
			wrong = append(wrong, line)
		}
	}
	if len(wrong) > 0 {
		t.Errorf("README.md:\n%s\n%s", strings.Join(wrong, ""), source)
	}
}
