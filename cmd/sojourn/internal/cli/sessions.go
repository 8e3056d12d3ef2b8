package cli

import (
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sojourn-go/sojourn/expiry/driver"
	"github.com/sojourn-go/sojourn/model"
	"github.com/sojourn-go/sojourn/session"
)

// sessionJSON is a session in JSON. Handles are public and give no access.
type sessionJSON struct {
	Handle           string     `json:"handle"`
	Principal        string     `json:"principal,omitempty"`
	Level            int        `json:"level,omitempty"`
	Actor            string     `json:"actor,omitempty"`
	ActorReason      string     `json:"actorReason,omitempty"`
	Name             string     `json:"name,omitempty"`
	SID              string     `json:"sid,omitempty"`
	Address          string     `json:"address,omitempty"`
	UserAgent        string     `json:"userAgent,omitempty"`
	CreatedAt        time.Time  `json:"createdAt"`
	AuthenticatedAt  *time.Time `json:"authenticatedAt,omitempty"`
	LastSeen         time.Time  `json:"lastSeen"`
	IdleDeadline     *time.Time `json:"idleDeadline"`     // null: none
	AbsoluteDeadline *time.Time `json:"absoluteDeadline"` // null: none
}

func sessionOf(i *session.Info) sessionJSON {
	out := sessionJSON{
		Handle: i.Handle, Principal: i.Principal, Level: i.Level, Actor: i.Actor, ActorReason: i.ActorReason, Name: i.Name, SID: i.SID,
		UserAgent: i.Client.UserAgent, CreatedAt: i.CreatedAt, AuthenticatedAt: moment(i.AuthenticatedAt), LastSeen: i.LastSeen,
		IdleDeadline: moment(i.IdleDeadline), AbsoluteDeadline: moment(i.AbsoluteDeadline),
	}
	if i.Client.Address.IsValid() {
		out.Address = i.Client.Address.String()
	}
	return out
}

// withService makes a command of a function that uses the sessions of the opened
// backend.
func (a *app) withService(purpose *string, do func(c *cobra.Command, s *session.Service, args []string) error) func(*cobra.Command, []string) error {
	return a.withBackend(func(c *cobra.Command, b driver.ModelExpirySupport, p *place, args []string) error {
		s, err := serviceOf(b, p, *purpose)
		if err != nil {
			return err
		}
		return do(c, s, args)
	})
}

func serviceOf(b driver.ModelExpirySupport, p *place, purpose string) (*session.Service, error) {
	return session.New(b, &session.Options{Keyring: p.cfg.Keyring(), Purpose: purpose, SweptElsewhere: true, Timeout: time.Minute})
}

func purposeFlag(c *cobra.Command, purpose *string) {
	c.Flags().StringVar(purpose, "purpose", "", "Options.Purpose of the program's service, if it has a keyring")
}

func (a *app) sessions() *cobra.Command {
	var purpose string
	c := &cobra.Command{
		Use: "sessions [PRINCIPAL]", Short: "List live sessions", Args: cobra.MaximumNArgs(1),
		Long: "Sessions lists the live sessions of a principal, or all of them. It prints\n" +
			"handles, which are public, and never tokens or data.",
		Example: "  sojourn sessions --url 'file:data?name=sessions' ann\n  sojourn sessions --url 'file:data?name=sessions' --json",
	}
	purposeFlag(c, &purpose)
	c.RunE = a.withService(&purpose, func(c *cobra.Command, s *session.Service, args []string) error {
		var list iter.Seq2[session.Info, error]
		if list = s.All(c.Context()); len(args) > 0 {
			list = s.Sessions(c.Context(), args[0])
		}
		t := table{app: a, head: []string{"HANDLE", "PRINCIPAL", "LAST SEEN", "EXPIRES", "CLIENT"}}
		var unreadable int
		for i, err := range list {
			switch {
			case errors.Is(err, model.ErrCorrupt):
				unreadable++
				if a.json {
					err = a.line(struct {
						Handle  string `json:"handle"`
						Corrupt bool   `json:"corrupt"`
					}{i.Handle, true})
				} else {
					t.add(i.Handle, "cannot be read", "", "", "")
					err = nil
				}
			case err != nil:
			case a.json:
				err = a.line(sessionOf(&i))
			default:
				t.add(i.Handle, i.Principal, instant(i.LastSeen), instant(i.ExpiresAt()), i.Client.UserAgent)
			}
			if err == nil && len(t.rows) >= pageSize {
				err = t.flush()
			}
			if err != nil {
				return err
			}
		}
		if err := t.flush(); err != nil {
			return err
		}
		if unreadable > 0 {
			return &codeError{code: exitCorrupt, err: fmt.Errorf("%d sessions cannot be read: perhaps they are sealed with a key that %sSEAL_KEY lacks", unreadable, defaultPrefix)}
		}
		return nil
	})
	return c
}

func (a *app) session() *cobra.Command {
	var purpose string
	c := &cobra.Command{
		Use: "session HANDLE", Short: "Show one session", Args: cobra.ExactArgs(1),
		Long: "Session shows a live session by its handle. It is no use of the session. A\n" +
			"handle may begin with a dash, so it stands behind a -- of its own.",
		Example: "  sojourn session --url 'file:data?name=sessions' -- $HANDLE\n  sojourn session --url 'file:data?name=sessions' --json -- $HANDLE",
	}
	purposeFlag(c, &purpose)
	c.RunE = a.withService(&purpose, func(c *cobra.Command, s *session.Service, args []string) error {
		i, err := s.Lookup(c.Context(), args[0])
		if err != nil {
			return err
		}
		o := sessionOf(&i)
		return a.say(o, "handle     %s\nprincipal  %s\nlevel      %d\nname       %s\naddress    %s\nbrowser    %s\ncreated    %s\nseen       %s\nidle       %s\nabsolute   %s",
			printable(o.Handle), orDash(printable(o.Principal)), o.Level, orDash(printable(o.Name)), orDash(o.Address), orDash(printable(o.UserAgent)),
			instant(o.CreatedAt), instant(o.LastSeen), instant(i.IdleDeadline), instant(i.AbsoluteDeadline))
	})
	return c
}

func (a *app) signOut() *cobra.Command {
	var purpose, handle, sid string
	var everybody bool
	c := &cobra.Command{
		Use: "sign-out [PRINCIPAL]", Short: "End sessions", Args: cobra.MaximumNArgs(1),
		Long: "Sign-out ends all sessions of a principal, one session by its handle, those of an\n" +
			"identity provider's session, or all sessions. A sign-in that goes on meanwhile can\n" +
			"survive, unless the program refuses it with Options.NotBefore.",
		Example: "  sojourn sign-out --url 'file:data?name=sessions' --handle $HANDLE\n  sojourn sign-out --url 'file:data?name=sessions' ann",
	}
	purposeFlag(c, &purpose)
	c.Flags().StringVar(&handle, "handle", "", "end one session")
	c.Flags().StringVar(&sid, "sid", "", "end the sessions of an identity provider's session")
	c.Flags().BoolVar(&everybody, "everybody", false, "end every session")
	c.RunE = a.withService(&purpose, func(c *cobra.Command, s *session.Service, args []string) error {
		if btoi(len(args) > 0)+btoi(handle != "")+btoi(sid != "")+btoi(everybody) != 1 {
			return usage("sign-out takes either a principal, --handle, --sid or --everybody")
		}
		var n int
		var err error
		switch {
		case handle != "":
			if err = s.DestroyHandle(c.Context(), handle); err == nil {
				n = 1
			}
		case sid != "":
			n, err = s.DestroyByLabel(c.Context(), "sid", sid)
		case everybody:
			n, err = s.DestroyAll(c.Context())
		default:
			n, err = s.DestroyPrincipal(c.Context(), args[0])
		}
		return errors.Join(a.say(struct {
			Ended int `json:"ended"`
		}{n}, "ended %d sessions", n), err)
	})
	return c
}
