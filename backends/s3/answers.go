package s3

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// peeked is how many bytes of an answer are searched for the root element.
const peeked = 1 << 10

// peek returns the first bytes of an answer's body and leaves the body whole.
func peek(res *smithyhttp.Response) []byte {
	begin, n := make([]byte, peeked), 0
	var err error
	for n < peeked && err == nil {
		var more int
		more, err = res.Body.Read(begin[n:])
		n += more
	}
	rest := io.Reader(res.Body)
	if err != nil { // the end, or a connection that broke: the SDK finds it there
		rest = errorReader{err}
	}
	res.Body = bodyOf{io.MultiReader(bytes.NewReader(begin[:n]), rest), res.Body}
	return begin[:n]
}

// errorsInAnswers makes the SDK see an error that the server sends with status
// 200: a server that has begun its answer can no longer change the status.
// The SDK would decode it as an empty listing, or as objects deleted.
func errorsInAnswers(o *awss3.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		// One of the last steps before the HTTP client, so that others see the status.
		return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("SojournErrorsInAnswers", findError), middleware.After)
	})
}

// answersOf are operations whose answers have a root element: an answer without
// it would be decoded as one that says nothing.
var answersOf = map[string]bool{"ListObjectsV2": true, "DeleteObjects": true}

func findError(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	out, metadata, err := next.HandleDeserialize(ctx, in)
	res, ok := out.RawResponse.(*smithyhttp.Response)
	if err != nil || !ok || res.StatusCode != http.StatusOK || res.Body == nil {
		return out, metadata, err
	}
	begin, op := peek(res), middleware.GetOperationName(ctx)
	root := rootOf(begin)
	switch {
	case root == "Error":
		res.StatusCode = http.StatusInternalServerError
	case answersOf[op] && !strings.HasSuffix(root, "Result"), op == "DeleteObject" && len(begin) > 0, // which has no body
		strings.EqualFold(root, "html"), strings.HasPrefix(root, "!"):
		err = &smithyhttp.ResponseError{Response: res, Err: unsignedError(res.StatusCode)}
	}
	return out, metadata, err
}

// signedAnswers turns an answer of a proxy between here and the server into an
// unsignedError. The SDK would derive a code of S3 from its status alone.
func signedAnswers(stack *middleware.Stack) error {
	return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("SojournSignedAnswers", findProxy), middleware.After)
}

func findProxy(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	out, metadata, err := next.HandleDeserialize(ctx, in)
	res, ok := out.RawResponse.(*smithyhttp.Response)
	if err != nil || !ok || res.StatusCode < http.StatusMultipleChoices || res.Body == nil {
		return out, metadata, err
	}
	// HTTP itself says that a request with this status was not carried out.
	if res.StatusCode == http.StatusPreconditionFailed || rootOf(peek(res)) == "Error" {
		return out, metadata, nil
	}
	return out, metadata, &smithyhttp.ResponseError{Response: res, Err: unsignedError(res.StatusCode)}
}

// unsignedError is an answer with a status and without an error of S3. A proxy
// sends it, also after the server has carried out the request.
type unsignedError int

func (e unsignedError) Error() string {
	return "an answer with status " + strconv.Itoa(int(e)) + " that is not of S3: a proxy or another kind of server sent it, check the endpoint"
}

// rootOf returns the name of the first element of an XML document, or nothing.
func rootOf(begin []byte) string {
	for {
		begin = bytes.TrimSpace(bytes.TrimPrefix(begin, []byte("\ufeff")))
		if !bytes.HasPrefix(begin, []byte("<?")) && !bytes.HasPrefix(begin, []byte("<!--")) {
			break
		}
		end := bytes.IndexByte(begin, '>')
		if end < 0 {
			return ""
		}
		begin = begin[end+1:]
	}
	if len(begin) == 0 || begin[0] != '<' {
		return ""
	}
	end := bytes.IndexAny(begin, " \t\r\n/>")
	if end < 0 {
		return ""
	}
	return string(begin[1:end])
}

type bodyOf struct {
	io.Reader
	io.Closer
}

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }
