package s3

import (
	"bytes"
	"context"
	"io"
	"net/http"

	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// errorsInAnswers makes the SDK see an error that the server sends with status
// 200: a server that has begun its answer can no longer change the status.
// The SDK would decode it as an empty listing, or as objects deleted.
func errorsInAnswers(o *awss3.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		// The last step before the HTTP client, so that all others see the status.
		return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("SojournErrorsInAnswers", findError), middleware.After)
	})
}

// peeked is how many bytes of an answer are searched for the root element.
const peeked = 1 << 10

func findError(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	out, metadata, err := next.HandleDeserialize(ctx, in)
	res, ok := out.RawResponse.(*smithyhttp.Response)
	if err != nil || !ok || res.StatusCode != http.StatusOK || res.Body == nil {
		return out, metadata, err
	}
	begin, n := make([]byte, peeked), 0
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
	if isError(begin[:n]) {
		res.StatusCode = http.StatusInternalServerError
	}
	return out, metadata, nil
}

// isError reports whether the first element of an XML document is <Error>.
func isError(begin []byte) bool {
	for {
		begin = bytes.TrimSpace(begin)
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
