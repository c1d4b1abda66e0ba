package aegis_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	aegis "github.com/aegis-sidecar/aegis/clients/go"
	"github.com/aegis-sidecar/aegis/clients/go/aegistest"
)

// startDaemon is what `aegis serve policy.yaml` is outside of these examples.
func startDaemon() (*aegistest.Daemon, func()) {
	daemon, err := aegistest.New(policy)
	if err != nil {
		log.Fatal(err)
	}
	os.Setenv("AEGIS_ENDPOINT", daemon.Endpoint)
	return daemon, func() {
		os.Unsetenv("AEGIS_ENDPOINT")
		if err := daemon.Stop(); err != nil {
			log.Fatal(err)
		}
	}
}

func readContacts(context.Context, aegis.Decision) ([]string, error) {
	return []string{"Ada", "Grace"}, nil
}

func Example() {
	_, stop := startDaemon()
	defer stop()
	ctx := context.Background()

	client, err := aegis.New() // AEGIS_ENDPOINT, AEGIS_TOKEN
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	contacts, err := aegis.Govern(ctx, client, aegis.Action{Type: "read_contacts", Target: "crm"}, readContacts)
	fmt.Println(contacts, err)

	_, err = aegis.Govern(ctx, client, aegis.Action{Type: "delete_contacts", Target: "crm"}, readContacts)
	fmt.Println(err)
	// Output:
	// [Ada Grace] <nil>
	// aegis: delete_contacts on crm is blocked (rule no_deletes): Deleting is a person's job.
}

// Who says no, and why, is in the error.
func ExampleDeniedError() {
	daemon, stop := startDaemon()
	defer stop()
	ctx := context.Background()
	go func() { _, _ = daemon.Deny(ctx, "write_contacts", "not on a Friday") }()

	client := daemon.Agent()
	_, err := aegis.Govern(ctx, client, aegis.Action{Type: "write_contacts"}, readContacts)
	var denied *aegis.DeniedError
	if errors.As(err, &denied) {
		fmt.Println(denied.Status, denied.Decision.RiskLevel, denied.Decision.MatchedRule)
	}
	// Output: denied high writes
}

// The single steps that Govern takes.
func ExampleClient_Propose() {
	daemon, stop := startDaemon()
	defer stop()
	ctx := context.Background()
	go func() { _, _ = daemon.Approve(ctx, "write_contacts", "looks right") }()
	client := daemon.Agent()

	decision, err := client.Propose(ctx, aegis.Action{Type: "write_contacts", Params: map[string]any{"count": 2}})
	if err != nil {
		log.Fatal(err) // Nothing is known: the action does not run.
	}
	if decision.Outcome == aegis.OutcomeEscalate {
		if decision, err = client.Wait(ctx, decision.DecisionID); err != nil {
			log.Fatal(err)
		}
	}
	if decision.Allowed() {
		fmt.Println("writing")
		_, err = client.Report(ctx, decision.DecisionID, aegis.Report{Status: aegis.StatusSuccess, Data: 2})
	}
	fmt.Println(err)
	// Output:
	// writing
	// <nil>
}

// The agent's own user is asked where the policy says `approval: confirm`.
func ExampleWithConfirm() {
	daemon, stop := startDaemon()
	defer stop()

	client := daemon.Agent(aegis.WithConfirm(func(_ context.Context, action aegis.Action, _ aegis.Decision) (bool, error) {
		fmt.Println("May I", action, "?")
		return true, nil
	}))
	_, err := aegis.Govern(context.Background(), client, aegis.Action{Type: "send_mail", Target: "list"}, readContacts)
	fmt.Println(err)
	// Output:
	// May I send_mail on list ?
	// <nil>
}

// A reviewer sees what is pending and what becomes of it.
func ExampleClient_StreamApprovals() {
	daemon, stop := startDaemon()
	defer stop()
	ctx := context.Background()
	if _, err := daemon.Agent().Propose(ctx, aegis.Action{Type: "write_contacts", Target: "crm"}); err != nil {
		log.Fatal(err)
	}

	reviewer := daemon.Reviewer() // aegis.New(aegis.WithEndpoint("unix:/var/lib/aegis/aegis.sock"))
	for event, err := range reviewer.StreamApprovals(ctx, aegis.ApprovalFilter{MinRiskLevel: aegis.RiskHigh}) {
		if err != nil {
			log.Fatal(err)
		}
		if event.Kind == aegis.ApprovalPending {
			ended, err := reviewer.Approve(ctx, event.Approval, "looks right")
			fmt.Println(event.Approval.Action, ended.Ending.Kind, err)
			break
		}
	}
	// Output: write_contacts on crm approved <nil>
}

func ExampleClient_StreamAudit() {
	daemon, stop := startDaemon()
	defer stop()
	ctx := context.Background()
	for _, action := range []string{"read_contacts", "delete_contacts"} {
		if _, err := daemon.Agent().Propose(ctx, aegis.Action{Type: action}); err != nil {
			log.Fatal(err)
		}
	}

	for row, err := range daemon.Auditor().StreamAudit(ctx, aegis.AuditQuery{Outcomes: []aegis.Outcome{aegis.OutcomeDeny}}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(row.Number, row.Action, row.RiskLevel, row.Result.Status)
	}
	// Output: 2 delete_contacts critical blocked
}

func ExampleRuntime() {
	daemon, stop := startDaemon()
	defer stop()
	ctx := context.Background()

	executor := aegis.ExecutorFunc(func(_ context.Context, action aegis.Action) (any, error) {
		return "did " + action.Type, nil
	})
	runtime, err := aegis.NewRuntime(daemon.Agent(), executor,
		aegis.WithApprovalHandler(daemon.Reviewer(), aegistest.ApproveAll))
	if err != nil {
		log.Fatal(err)
	}
	plan, err := runtime.Plan(ctx,
		aegis.Action{Type: "read", Target: "crm", Description: "Fetch contacts"},
		aegis.Action{Type: "write", Target: "crm", Params: map[string]any{"count": 150}},
		aegis.Action{Type: "delete", Target: "crm", Description: "Drop table"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(plan.Summary())
	results, err := runtime.Execute(ctx, plan)
	for _, result := range results {
		fmt.Println(result.Status, result.Data)
	}
	fmt.Println(err)
	// Output:
	//   1. [   AUTO] read on crm - Fetch contacts  (risk=LOW, rule=reads)
	//   2. [APPROVE] write on crm  (risk=HIGH, rule=writes)
	//   3. [  BLOCK] delete on crm - Drop table  (risk=CRITICAL, rule=no_deletes)
	// success did read
	// success did write
	// blocked <nil>
	// <nil>
}

// A function that is governed wherever it is called.
func ExampleWrap() {
	daemon, stop := startDaemon()
	defer stop()

	read := aegis.Wrap(daemon.Agent(), func(limit int) aegis.Action {
		return aegis.Action{Type: "read_contacts", Target: "crm", Params: map[string]any{"limit": limit}}
	}, func(_ context.Context, limit int) ([]string, error) {
		return []string{"Ada", "Grace", "Barbara"}[:limit], nil
	})
	fmt.Println(read(context.Background(), 2))
	// Output: [Ada Grace] <nil>
}
