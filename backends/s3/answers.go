package s3

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"

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

func findError(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	out, metadata, err := next.HandleDeserialize(ctx, in)
	res, ok := out.RawResponse.(*smithyhttp.Response)
	if err == nil && ok && res.StatusCode == http.StatusOK && res.Body != nil && isError(peek(res)) {
		res.StatusCode = http.StatusInternalServerError
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
	switch res.StatusCode {
	case http.StatusPreconditionFailed, http.StatusRequestedRangeNotSatisfiable:
		return out, metadata, nil // they answer a header of ours, and mean the same from every server
	}
	if isError(peek(res)) {
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

// isError reports whether the first element of an XML document is <Error>.
func isError(begin []byte) bool {
	for {
		begin = bytes.TrimSpace(bytes.TrimPrefix(begin, []byte("\ufeff")))
		if !bytes.HasPrefix(begin, []byte("<?")) && !bytes.HasPrefix(begin, []byte("<!--")) {
			break
		}
		end := bytes.IndexByte(begin, '>')
		if end < 0 {
			return false
		}
		begin = begin[end+1:]
	}
	return bytes.HasPrefix(begin, []byte("<Error>")) || bytes.HasPrefix(begin, []byte("<Error "))
}

type bodyOf struct {
	io.Reader
	io.Closer
}

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }
