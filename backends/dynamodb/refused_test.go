package dynamodb

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/smithy-go/logging"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/internal/drivertest"
	"github.com/sojourn-go/sojourn/model"
)

// TestRefusalsByStatus has answers with codes that nobody has listed. DynamoDB
// refuses with 4xx and a code of its own:
// docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
// and docs.aws.amazon.com/amazondynamodb/latest/APIReference/CommonErrors.html.
// An answer without a code is a proxy's, and a 5xx does not say what happened.
func TestRefusalsByStatus(t *testing.T) {
	plain := func(status int) answer { return answer{status: status, body: "<html>hunter2</html>"} }
	for name, test := range map[string]struct {
		answer answer
		want   error // of a write
		sent   int
		says   string
	}{
		"a disabled key":        {answer{status: 400, code: "KMSDisabledException"}, model.ErrUnavailable, 1, "KMSDisabledException"},
		"a denied key":          {answer{status: 400, code: "KMSAccessDeniedException"}, model.ErrUnavailable, 1, "KMSAccessDeniedException"},
		"an opt-in region":      {answer{status: 403, code: "InvalidAction"}, model.ErrUnavailable, 1, "InvalidAction"},
		"unauthorized":          {answer{status: 401, code: "UnauthorizedException"}, model.ErrUnavailable, 1, "UnauthorizedException"},
		"too many":              {answer{status: 429, code: "TooManyRequestsException"}, model.ErrUnavailable, 3, "TooManyRequestsException"},
		"too many, by its name": {answer{status: 429, code: "BusyException"}, model.ErrUnavailable, 3, "BusyException"},
		"a lost request":        {answer{status: 408, code: "RequestTimeout"}, model.ErrUnknown, 1, "RequestTimeout (HTTP 408)"},
		"broken":                {answer{status: 500, code: "InternalServerError"}, model.ErrUnknown, 1, "InternalServerError (HTTP 500)"},
		"down":                  {answer{status: 503, code: "ServiceUnavailable"}, model.ErrUnknown, 1, "ServiceUnavailable (HTTP 503)"},
		"a proxy's 403":         {plain(403), model.ErrUnknown, 1, "(HTTP 403)"},
		"a proxy's 409":         {plain(409), model.ErrUnknown, 1, "(HTTP 409)"},
		"a proxy's 499":         {plain(499), model.ErrUnknown, 1, "(HTTP 499)"},
		"a gateway's 404":       {answer{status: 404, body: `{"message":"hunter2"}`}, model.ErrUnknown, 1, "(HTTP 404)"},
		"a proxy's 502":         {plain(502), model.ErrUnknown, 1, "(HTTP 502)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.answer.message = "hunter2"
			for _, principal := range []string{"", "ann"} {
				b, got := fake(t, test.answer)
				err := create(t, b, drivertest.Record("id", principal, 0))
				if model.Kind(err) != test.want || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "hunter2") {
					t.Errorf("a write: %v of kind %v", err, model.Kind(err))
				}
				wantSent(t, got, test.sent)
			}
			b, _ := fake(t, test.answer)
			_, err := b.Get(t.Context(), drivertest.Now, driver.Get{ID: "id"})
			if model.Kind(err) != model.ErrUnavailable || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a read: %v of kind %v", err, model.Kind(err))
			}
		})
	}
}

// TestTransactionInProgress has a server that still works on the transaction:
// the next request is the same one, which cannot happen twice.
// docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
func TestTransactionInProgress(t *testing.T) {
	var mu sync.Mutex
	var tokens []string
	progress := answer{status: 400, code: codeInProgress, message: "hunter2"}
	conflict := answer{status: 400, code: "TransactionConflictException"}
	server := func(answers ...answer) *Backend {
		tokens = nil
		return serve(t, func(w http.ResponseWriter, r *http.Request) {
			var in struct {
				ClientRequestToken string `json:"ClientRequestToken"`
			}
			_ = json.NewDecoder(r.Body).Decode(&in)
			mu.Lock()
			tokens = append(tokens, in.ClientRequestToken)
			n := len(tokens)
			mu.Unlock()
			answers[min(n, len(answers))-1].write(w)
		})
	}
	if err := create(t, server(progress, progress, done), drivertest.Record("id", "ann", 0)); err != nil {
		t.Error(err)
	}
	if len(tokens) != 3 || tokens[0] == "" || tokens[0] != tokens[1] || tokens[1] != tokens[2] {
		t.Errorf("the tokens are %q, want one", tokens)
	}
	if err := create(t, server(conflict, done), drivertest.Record("id", "ann", 0)); err != nil {
		t.Error(err)
	}
	if len(tokens) != 2 || tokens[0] == tokens[1] {
		t.Errorf("after a refusal the tokens are %q, want two", tokens)
	}
	denied := answer{status: 400, code: codeDenied}
	err := create(t, server(progress, conflict, denied), drivertest.Record("id", "ann", 0))
	if model.Kind(err) != model.ErrUnknown || len(tokens) != 3 || tokens[0] != tokens[2] {
		t.Errorf("refused after it was in progress: %v, the tokens are %q", err, tokens)
	}
	ctx, cancel := context.WithCancel(t.Context())
	b := server(progress)
	b.client = cancels{b.client, cancel}
	_, err = b.Write(ctx, drivertest.Now, driver.Write{Record: drivertest.Record("id", "ann", 0), Cond: driver.IfAbsent})
	if model.Kind(err) != model.ErrUnknown || !errors.Is(err, context.Canceled) {
		t.Errorf("a context that ends meanwhile: %v", err)
	}
	err = create(t, server(progress), drivertest.Record("id", "ann", 0))
	if model.Kind(err) != model.ErrUnknown || !strings.Contains(err.Error(), codeInProgress) {
		t.Errorf("without an end: %v", err)
	}
}

// TestARefusalThatIsCut has a refusal that ends in the middle of its text: the
// same transaction again tells why. An answer without DynamoDB's request id is a
// proxy's, and tells nothing.
func TestARefusalThatIsCut(t *testing.T) {
	for name, test := range map[string]struct {
		requestID string
		want      error
		sent      int
	}{"DynamoDB's": {"R1", nil, 2}, "a proxy's": {"", model.ErrUnknown, 1}} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var tokens []string
			b := serve(t, func(w http.ResponseWriter, r *http.Request) {
				var in struct {
					ClientRequestToken string `json:"ClientRequestToken"`
				}
				_ = json.NewDecoder(r.Body).Decode(&in)
				mu.Lock()
				defer mu.Unlock()
				if tokens = append(tokens, in.ClientRequestToken); len(tokens) > 1 {
					done.write(w)
					return
				}
				if test.requestID != "" {
					w.Header().Set("X-Amzn-Requestid", test.requestID)
				}
				w.Header().Set("Content-Length", "100")
				w.WriteHeader(http.StatusBadRequest)
				_, _ = w.Write([]byte("{"))
			})
			err := create(t, b, drivertest.Record("id", "ann", 0))
			if model.Kind(err) != test.want || len(tokens) != test.sent || tokens[0] == "" || tokens[0] != tokens[len(tokens)-1] {
				t.Errorf("%v, the tokens are %q, want %v and %d with one token", err, tokens, test.want, test.sent)
			}
		})
	}
}

// cancels is a client that cancels the call after a transaction.
type cancels struct {
	API
	cancel func()
}

func (c cancels) TransactWriteItems(ctx context.Context, in *awsdynamodb.TransactWriteItemsInput, opts ...func(*awsdynamodb.Options)) (*awsdynamodb.TransactWriteItemsOutput, error) {
	defer c.cancel()
	return c.API.TransactWriteItems(ctx, in, opts...)
}

// TestRefusedWritesAreQuiet refuses conditions, as DynamoDB Local does, without
// a checksum: the SDK's logger gets nothing, and a wrong checksum is an error.
func TestRefusedWritesAreQuiet(t *testing.T) {
	var lines atomic.Int64
	logger := logging.LoggerFunc(func(_ logging.Classification, format string, args ...any) {
		lines.Add(1)
		t.Logf(format, args...)
	})
	base := open(t, nil)
	b, err := New(awsdynamodb.New(sdkOf(base).Options(), func(o *awsdynamodb.Options) { o.Logger = logger }), base.table, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, principal := range []string{"", "ann"} {
		r := drivertest.Record("id"+principal, principal, 0)
		drivertest.WantKind(t, create(t, b, r), nil)
		drivertest.WantKind(t, create(t, b, r), model.ErrExists)
	}
	if n := lines.Load(); n > 0 {
		t.Errorf("the SDK has logged %d lines", n)
	}
	wrong := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set(checksumHeader, "1")
		done.write(w)
	})
	wrong.client = withoutNoise(awsdynamodb.New(sdkOf(wrong).Options(), func(o *awsdynamodb.Options) { o.Logger = logger }))
	_, _ = wrong.Get(t.Context(), drivertest.Now, driver.Get{ID: "id"})
	if lines.Load() == 0 {
		t.Error("a wrong checksum is not noticed")
	}
}

// ownClient is a client that ignores the options of a call and fails after it
// has sent something.
type ownClient struct{ API }

func (ownClient) PutItem(context.Context, *awsdynamodb.PutItemInput, ...func(*awsdynamodb.Options)) (*awsdynamodb.PutItemOutput, error) {
	return nil, errors.New("hunter2: the answer was lost")
}

// TestClientsThatIgnoreOptions loses a write that such a client may have sent.
func TestClientsThatIgnoreOptions(t *testing.T) {
	b, err := New(ownClient{}, "carts", nil)
	if err != nil {
		t.Fatal(err)
	}
	err = create(t, b, drivertest.Record("id", "", 0))
	if model.Kind(err) != model.ErrUnknown || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
	if b.Client() != (ownClient{}) {
		t.Error("Client is another one")
	}
}

// TestDeniedPruning has no permission to remove the label items that the TTL
// leaves: a listing is right without it, and the next one does not try.
func TestDeniedPruning(t *testing.T) {
	base := open(t, nil)
	putItem(t, sdkOf(base), base.table, labelKey("principal", "ann", "gone"))
	drivertest.Seed(t, base, drivertest.Record("here", "ann", 0))
	tries := 0
	b, err := New(&odd{API: sdkOf(base), transact: func(*awsdynamodb.TransactWriteItemsInput) error {
		tries++
		return codeError(codeDenied)
	}}, base.table, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		wantBearers(t, b, "here")
	}
	if tries != 1 {
		t.Errorf("tried %d times, want 1", tries)
	}
}
