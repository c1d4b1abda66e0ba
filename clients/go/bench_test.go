package aegis_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/structpb"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
	"github.com/aegis-sidecar/aegis/clients/go/aegistest"
	"github.com/aegis-sidecar/aegis/clients/go/aegisv1"
)

// BenchmarkProposeOverStub measures a proposal of the SDK and one of the bare stub in turn, over the same transport, and
// reports how much longer the SDK takes: the ratio of the medians.
//
//	go test -run '^$' -bench ProposeOverStub -benchtime 5000x .
func BenchmarkProposeOverStub(b *testing.B) {
	for _, transport := range []string{"unix", "tcp"} {
		b.Run(transport, func(b *testing.B) { proposeOverStub(b, transport) })
	}
}

func proposeOverStub(b *testing.B, transport string) {
	daemon := aegistest.Start(b, policy, aegistest.WithArguments("--durability", "relaxed"))
	endpoint, target := daemon.Endpoint, strings.TrimPrefix(daemon.Endpoint, "http://")
	if transport == "unix" {
		endpoint, target = daemon.UnixEndpoint, daemon.UnixEndpoint
	}
	client := daemon.Agent(aegis.WithEndpoint(endpoint))
	connection, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	defer connection.Close()
	stub := aegisv1.NewGovernanceServiceClient(connection)

	ctx := context.Background()
	action := aegis.Action{Type: "read_contacts", Target: "crm", Params: map[string]any{"limit": 10, "fields": []any{"name", "mail"}}}
	params, err := structpb.NewStruct(action.Params)
	if err != nil {
		b.Fatal(err)
	}
	keys := 0
	ways := []func() error{
		func() error {
			_, err := client.Propose(ctx, action)
			return err
		},
		func() error {
			keys++
			_, err := stub.Propose(ctx, &aegisv1.ProposeRequest{
				Action:         &aegisv1.Action{Type: action.Type, Target: action.Target, Params: params},
				IdempotencyKey: fmt.Sprintf("benchmark-%s-%08d", transport, keys),
			})
			return err
		},
	}
	took := make([][]time.Duration, len(ways))
	for i := 0; b.Loop(); i++ {
		for way := range ways {
			// Each goes first every other time.
			way = (way + i) % len(ways)
			began := time.Now()
			if err := ways[way](); err != nil {
				b.Fatal(err)
			}
			took[way] = append(took[way], time.Since(began))
		}
	}
	sdk, bare := median(took[0]), median(took[1])
	b.ReportMetric(float64(sdk.Microseconds()), "sdk-µs")
	b.ReportMetric(float64(bare.Microseconds()), "stub-µs")
	b.ReportMetric(float64(sdk)/float64(bare), "sdk/stub")
}

func median[T cmp.Ordered](values []T) T {
	slices.Sort(values)
	return values[len(values)/2]
}
