package containers

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
)

const (
	postgresPort = "5432"
	// The data are kept in memory, in a folder that no image has: from 18 on the
	// usual one is a symbolic link, which some engines cannot mount over.
	postgresData = "/sojourn"
)

var postgresSpec = spec{
	server: "postgres",
	title:  "PostgreSQL",
	port:   postgresPort + "/tcp",
	cmd: []string{
		"-c", "fsync=off", "-c", "full_page_writes=off", "-c", "max_connections=400", "-c", "jit=off", "-c", "max_wal_size=4GB",
	},
	// The packed image ignores the folder.
	env:   map[string]string{"POSTGRES_HOST_AUTH_METHOD": "trust", "PGDATA": postgresData + "/pg"},
	data:  []string{postgresData},
	url:   func(addr string) string { return "postgres://postgres@" + addr + "/postgres?sslmode=disable" },
	addr:  postgresAddr,
	probe: probePostgres,
}

// Postgres returns the PostgreSQL server of this test process.
func Postgres(t testing.TB) Server {
	t.Helper()
	return postgresSpec.serve(t)
}

// postgresAddr returns the first host of the URL.
func postgresAddr(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return "", errors.New("the URL has no host") // the parser's error quotes a password
	}
	first, _, _ := strings.Cut(u.Host, ",")
	if _, _, err := net.SplitHostPort(first); err != nil {
		first = net.JoinHostPort(strings.Trim(first, "[]"), postgresPort)
	}
	return first, nil
}

// probePostgres opens a session by hand, because only the backend's own module
// has a client. A server that asks for a password, or for TLS, answers, but does
// not say its version.
func probePostgres(ctx context.Context, raw string) (name, version string, err error) {
	addr, err := postgresAddr(raw)
	if err != nil {
		return "", "", &finalError{err}
	}
	connection, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", "", err
	}
	defer func() { _ = connection.Close() }()
	defer context.AfterFunc(ctx, func() { _ = connection.Close() })()
	if _, err := connection.Write(postgresStartup("postgres", "postgres")); err != nil {
		return "", "", err
	}
	version, err = postgresVersion(connection)
	return "PostgreSQL", version, err
}

// postgresStartup returns the first message of a client, in version 3.0 of the
// protocol.
func postgresStartup(user, database string) []byte {
	body := []byte{0, 0, 0, 0, 0, 3, 0, 0}
	body = append(body, "user\x00"+user+"\x00database\x00"+database+"\x00\x00"...)
	binary.BigEndian.PutUint32(body, uint32(len(body)))
	return body
}

// maxPostgresMessage bounds the messages at the start of a session.
const maxPostgresMessage = 64 << 10

// postgresVersion reads the server's answer up to its version: "15.18".
func postgresVersion(from io.Reader) (string, error) {
	for {
		head := make([]byte, 5)
		if _, err := io.ReadFull(from, head); err != nil {
			return "", err
		}
		size := binary.BigEndian.Uint32(head[1:])
		if size < 4 || size > maxPostgresMessage {
			return "", &finalError{errors.New("the server does not answer as PostgreSQL does")}
		}
		body := make([]byte, size-4)
		if _, err := io.ReadFull(from, body); err != nil {
			return "", err
		}
		switch head[0] {
		case 'E':
			return "", postgresRefusal(body)
		case 'R':
			if len(body) >= 4 && binary.BigEndian.Uint32(body) != 0 {
				return "", nil // it asks for a password
			}
		case 'S':
			if fields := bytes.Split(body, []byte{0}); len(fields) > 1 && string(fields[0]) == "server_version" {
				number, _, _ := strings.Cut(string(fields[1]), " ")
				return number, nil
			}
		case 'Z':
			return "", nil
		}
	}
}

// postgresRefusal returns the error of an answer that refuses the session. Nil
// means that a server is there which wants other credentials or TLS.
func postgresRefusal(body []byte) error {
	for field := range bytes.SplitSeq(body, []byte{0}) {
		if code, ok := strings.CutPrefix(string(field), "C"); ok {
			if strings.HasPrefix(code, "28") || code == "3D000" {
				return nil
			}
			return fmt.Errorf("the server answers with code %s", code)
		}
	}
	return errors.New("the server refuses the session")
}
