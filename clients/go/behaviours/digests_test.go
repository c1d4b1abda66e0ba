package behaviours

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"testing"

	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
	"github.com/aegis-sidecar/aegis/clients/go/aegisv1"
)

const digestsPath = "../../../tests/sdk/digests.yaml"

// The table of digests, as tests/sdk/README.md describes it. A key that is not here is an error.
type digestTable struct {
	Version int
	Digests []digestCase
	Answers []struct{ Name, Salt, Digest string }
}

type digestCase struct {
	Name           string
	Action         action
	Params         string
	Actor, Session string
	Salt, Digest   string
}

// A sealed server answers every proposal with an ALLOW of this salt and digest.
type sealed struct {
	aegisv1.UnimplementedGovernanceServiceServer
	salt, digest string
}

func (s *sealed) Propose(context.Context, *aegisv1.ProposeRequest) (*aegisv1.ProposeResponse, error) {
	return &aegisv1.ProposeResponse{Decision: &aegisv1.Decision{
		DecisionId: "dec_1", Outcome: aegisv1.Outcome_OUTCOME_ALLOW, ActionDigest: s.digest, ActionDigestSalt: s.salt,
	}}, nil
}

func (*sealed) ReportResult(context.Context, *aegisv1.ReportResultRequest) (*aegisv1.ReportResultResponse, error) {
	return &aegisv1.ReportResultResponse{}, nil
}

// runs says whether an action runs under such an answer, and what the call ended with.
func (s *sealed) runs(t *testing.T, action aegis.Action, options ...aegis.CallOption) (ran bool, err error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	aegisv1.RegisterGovernanceServiceServer(server, s)
	go func() { _ = server.Serve(listener) }()
	defer server.Stop()
	agent, err := aegis.New(aegis.WithEndpoint("http://"+listener.Addr().String()), aegis.WithToken(""))
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	_, err = aegis.Govern(ctx, agent, action, func(context.Context, aegis.Decision) (any, error) {
		ran = true
		return nil, nil
	}, options...)
	return ran, err
}

func TestADecisionBelongsToTheActionThatWasSent(t *testing.T) {
	text, err := os.ReadFile(digestsPath)
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	var table digestTable
	if err := decoder.Decode(&table); err != nil {
		t.Fatalf("%s: %v", digestsPath, err)
	}
	if len(table.Digests) < 10 || len(table.Answers) < 5 {
		t.Fatalf("%s: %d digests, %d answers: the table is larger", digestsPath, len(table.Digests), len(table.Answers))
	}
	refused := func(t *testing.T, ran bool, err error) {
		t.Helper()
		if failed := (*aegis.Error)(nil); ran || !errors.As(err, &failed) || failed.Reason != aegis.ReasonWrongAnswer {
			t.Error(ran, err)
		}
	}
	for _, row := range table.Digests {
		t.Run(row.Name, func(t *testing.T) {
			proposed := row.Action.sdk()
			if err := json.Unmarshal([]byte(row.Params), &proposed.Params); err != nil {
				t.Fatal(err)
			}
			options := []aegis.CallOption{aegis.WithActor(aegis.Actor{ID: row.Actor}), aegis.WithSession(row.Session)}
			server := &sealed{salt: row.Salt, digest: row.Digest}
			if ran, err := server.runs(t, proposed, options...); !ran || err != nil {
				t.Error(ran, err)
			}
			for what, other := range map[string]func() ([]aegis.CallOption, aegis.Action){
				"actor": func() ([]aegis.CallOption, aegis.Action) {
					return append(options, aegis.WithActor(aegis.Actor{ID: "eve"})), proposed
				},
				"session": func() ([]aegis.CallOption, aegis.Action) {
					return append(options, aegis.WithSession("other")), proposed
				},
				"action": func() ([]aegis.CallOption, aegis.Action) {
					other := proposed
					other.Description += " "
					return options, other
				},
			} {
				options, action := other()
				t.Run("with another "+what, func(t *testing.T) {
					ran, err := server.runs(t, action, options...)
					refused(t, ran, err)
				})
			}
		})
	}
	for _, answer := range table.Answers {
		t.Run(answer.Name, func(t *testing.T) {
			ran, err := (&sealed{salt: answer.Salt, digest: answer.Digest}).runs(t, aegis.Action{Type: "act"})
			refused(t, ran, err)
		})
	}
}
