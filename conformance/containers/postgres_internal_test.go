package containers

import (
	"encoding/binary"
	"strings"
	"testing"
)

// postgresMessage returns a message of a server.
func postgresMessage(kind byte, body string) string {
	return string(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4))) + body
}

func TestPostgresVersion(t *testing.T) {
	welcome := postgresMessage('R', "\x00\x00\x00\x00")
	for name, test := range map[string]struct{ answer, version, fails string }{
		"a server":        {welcome + postgresMessage('S', "TimeZone\x00UTC\x00") + postgresMessage('S', "server_version\x0017.7 (Debian 17.7-1)\x00"), "17.7", ""},
		"no version":      {welcome + postgresMessage('Z', "I"), "", ""},
		"a password":      {postgresMessage('R', "\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00"), "", ""},
		"other databases": {postgresMessage('E', "SFATAL\x00C3D000\x00Mno\x00\x00"), "", ""},
		"it starts":       {postgresMessage('E', "SFATAL\x00C57P03\x00Mstarting\x00\x00"), "", "code 57P03"},
		"no code":         {postgresMessage('E', "SFATAL\x00\x00"), "", "refuses the session"},
		"another server":  {"HTTP/1.1 400 Bad Request", "", "as PostgreSQL does"},
		"a cut answer":    {welcome[:7], "", "EOF"},
	} {
		version, err := postgresVersion(strings.NewReader(test.answer))
		if version != test.version || (err == nil) != (test.fails == "") || err != nil && !strings.Contains(err.Error(), test.fails) {
			t.Errorf("%s: %q, %v; want %q, %q", name, version, err, test.version, test.fails)
		}
	}
}

func TestPostgresAddr(t *testing.T) {
	for raw, want := range map[string]string{
		"postgres://u:p@db.example/x": "db.example:5432", "postgres://a:1,b:2/x": "a:1", "postgres://[::1]/x": "[::1]:5432", "postgres:x": "",
	} {
		if got, err := postgresAddr(raw); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v; want %q", raw, got, err, want)
		}
	}
}

// TestPostgresKeepsItsFilesInMemory checks that the server uses the mount.
func TestPostgresKeepsItsFilesInMemory(t *testing.T) {
	folder := postgresSpec.env["PGDATA"]
	for mount := range postgresSpec.mounts() {
		if !strings.HasPrefix(folder, mount+"/") {
			t.Errorf("the server's files are in %q, the mount is %s", folder, mount)
		}
	}
}
