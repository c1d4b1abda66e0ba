package deepcopy

import (
	"context"
	"errors"
	"math/big"
	"net/http"
	"net/url"
	"reflect"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"
)

type part struct {
	Names []string
	note  string
}

type inner struct{ List []int }

type order struct {
	inner
	ID      int
	Parts   []*part
	ByName  map[string][]int
	Any     any
	Number  big.Int
	Pointer *big.Int
	Raw     [2][]byte
	Site    *url.URL
	When    time.Time
	Header  http.Header
	Message *structpb.Struct
	note    string
}

func anOrder() *order {
	message, _ := structpb.NewStruct(map[string]any{"path": "/safe"})
	return &order{
		inner: inner{List: []int{1}}, ID: 7, Parts: []*part{{Names: []string{"a"}, note: "n"}}, ByName: map[string][]int{"a": {1}},
		Any: map[string]any{"list": []any{1, &part{Names: []string{"b"}}}}, Number: *big.NewInt(5), Pointer: big.NewInt(6), Raw: [2][]byte{[]byte("ab")},
		Site: &url.URL{Host: "a", User: url.User("ada")}, When: time.Now(), Header: http.Header{"A": {"b"}}, Message: message, note: "kept",
	}
}

func TestNothingThatTheCallerHoldsReachesTheCopy(t *testing.T) {
	original := anOrder()
	copied, whole, err := Of(original)
	if err != nil || !whole {
		t.Fatalf("whole: %v, %v", whole, err)
	}
	before := copied.Parts[0].note + copied.note
	original.List[0], original.ID, original.Parts[0].Names[0], original.ByName["a"][0] = 2, 8, "x", 2
	original.Any.(map[string]any)["list"].([]any)[1].(*part).Names[0] = "x"
	original.Number.SetInt64(50)
	original.Pointer.SetInt64(60)
	original.Raw[0][0] = 'x'
	original.Site.Host = "evil"
	original.Header.Set("A", "x")
	original.Message.Fields["path"] = structpb.NewStringValue("/evil")
	fresh := anOrder()
	fresh.When, fresh.Message, copied.Message = copied.When, nil, func() *structpb.Struct {
		if copied.Message.Fields["path"].GetStringValue() != "/safe" {
			t.Error(copied.Message)
		}
		return nil
	}()
	if !reflect.DeepEqual(copied, fresh) || before != "nkept" {
		t.Errorf("%+v is not %+v", copied, fresh)
	}
}

func TestWhatIsMetTwiceIsOneThingInTheCopyToo(t *testing.T) {
	type node struct {
		Next  *node
		Table map[string]any
	}
	loop := &node{Table: map[string]any{}}
	loop.Next, loop.Table["self"] = loop, loop.Table
	list := []any{nil}
	list[0] = list
	copied, whole, err := Of(loop)
	if err != nil || !whole || copied == loop || copied.Next != copied {
		t.Fatal(copied, whole, err)
	}
	copied.Table["x"] = 1
	if copied.Table["self"].(map[string]any)["x"] != 1 || loop.Table["x"] != nil {
		t.Error("the map is another one inside of itself")
	}
	other, _, err := Of(list)
	if err != nil || &other[0] != &other[0].([]any)[0] || &other[0] == &list[0] {
		t.Error("the list is another one inside of itself")
	}
}

type closedOrder struct {
	ID    int
	parts []string
}

func TestWhatCannotBeCopiedIsSharedAndSaidSo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, shared := range []any{
		func() {}, make(chan int), http.DefaultTransport, &sync.Mutex{}, ctx, &closedOrder{1, []string{"a"}}, closedOrder{1, []string{"a"}},
		map[string]any{"a": []any{&sync.WaitGroup{}}}, struct{ F func() }{func() {}},
	} {
		copied, whole, err := Of(shared)
		if err != nil || whole {
			t.Errorf("%T: whole", shared)
		}
		if reflect.TypeOf(shared).Kind() == reflect.Pointer && reflect.ValueOf(copied).Pointer() != reflect.ValueOf(shared).Pointer() {
			t.Errorf("%T is another one", shared)
		}
	}
	for _, plain := range []any{nil, 1, "a", time.Now(), (*part)(nil), (func())(nil), []byte(nil), struct{}{}, time.UTC} {
		if copied, whole, err := Of(plain); err != nil || !whole || !reflect.DeepEqual(copied, plain) {
			t.Errorf("%#v became %#v: whole %v, %v", plain, copied, whole, err)
		}
	}
}

func TestWhatIsNestedTooDeepIsAnErrorAndNoCrash(t *testing.T) {
	var deep any
	for range 3_000_000 {
		deep = []any{deep}
	}
	if _, _, err := Of(deep); !errors.Is(err, ErrTooDeep) {
		t.Fatal(err)
	}
}
