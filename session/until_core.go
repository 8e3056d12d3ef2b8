package session

import "errors"

var (
	ErrCrossSite = errors.New("session: a request of another site, without a cookie, creates no session")
	ErrNewer     = errors.New("session: stored by a newer version")
)

func (s *Service) OpenAny(texts []string) *Session {
	if len(texts) == 1 {
		return s.Open(texts[0])
	}
	return s.Open("more than one")
}
func (s *Session) RefuseNew(err error) { s.refuseNew = err }
func (s *Session) SetPassive()         {}
func (s *Session) SetNoRotation()      {}
