package session

import (
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session/internal/row"
)

// RowEncoding is model.Record.Encoding of a compact row. That of a row as JSON is
// "json".
const RowEncoding = row.NameCompact

// RowJSON returns the JSON of a session's row, from the value of its record. It is
// for tools that show what a store holds: programs use Service and Session. JSON
// comes back as it is. Of a row of a newer version it has the fields that this
// version knows. It returns model.ErrCorrupt for bytes that are neither form.
func RowJSON(value []byte) ([]byte, error) {
	text, err := row.JSON(value)
	if err != nil {
		return nil, &model.Error{Op: "session.RowJSON", Err: model.NewError(model.ErrCorrupt, "the value is not the row of a session", err)}
	}
	return text, nil
}
