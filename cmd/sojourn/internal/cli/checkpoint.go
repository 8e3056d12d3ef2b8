package cli

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/sojourn-go/sojourn/expiry/driver/cutover"
)

// checkpoint is the file that says how far a migration is. It has the names of
// the stores without secrets.
type checkpoint struct {
	path  string
	saved time.Time

	Version   int           `json:"version"`
	From      string        `json:"from"`
	To        string        `json:"to"`
	KeepExtra bool          `json:"keepExtra"`
	State     cutover.State `json:"state"`
}

const checkpointVersion = 1

// saveEvery is how much work a run that was killed does again.
const saveEvery = time.Second

// read reads the file of an earlier run, if there is one.
func (c *checkpoint) read() (found bool, err error) {
	if c.path == "" {
		return false, nil
	}
	data, err := os.ReadFile(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, usage("the checkpoint cannot be read: " + err.Error())
	}
	var old checkpoint
	switch err := json.Unmarshal(data, &old); {
	case err != nil || old.Version != checkpointVersion:
		return false, usage("the file " + c.path + " is no checkpoint of this version: remove it, or name another one")
	case old.From != c.From || old.To != c.To:
		return false, usage("the checkpoint " + c.path + " is of a migration from " + old.From + " to " + old.To + ": name another file")
	}
	c.State, c.KeepExtra = old.State, old.KeepExtra
	return true, nil
}

// save notes the state, and writes it if the last time is long ago.
func (c *checkpoint) save(s cutover.State) error {
	c.State = s
	if time.Since(c.saved) < saveEvery && !s.Equal {
		return nil
	}
	return c.write()
}

// write replaces the file. At every instant there is the old one or the new one.
func (c *checkpoint) write() (err error) {
	if c.path == "" {
		return nil
	}
	c.Version, c.saved = checkpointVersion, time.Now()
	data, err := json.Marshal(c)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(c.path), filepath.Base(c.path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
	}()
	_, err = tmp.Write(append(data, '\n'))
	if err == nil {
		err = tmp.Sync()
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), c.path)
}
