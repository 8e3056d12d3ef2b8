package config_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	_ "github.com/sojourn-go/sojourn/backends/file" // registers file:
	"github.com/sojourn-go/sojourn/config"
	"github.com/sojourn-go/sojourn/expiry"
)

// The store's place is in a variable, its seal keys are in a file.
func ExampleRead() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	keys := filepath.Join(dir, "keys")
	line := "2026-11:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n" // never use this one
	if err := os.WriteFile(keys, []byte(line), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	environment := map[string]string{ // a program leaves Getenv nil
		"SOJOURN_URL":           "file:" + filepath.ToSlash(dir) + "?name=carts&labels=owner",
		"SOJOURN_SEAL_KEY_FILE": keys,
	}
	cfg, err := config.Read(&config.Options{RequireSeal: true, Getenv: func(name string) string { return environment[name] }})
	if err != nil {
		fmt.Println(err)
		return
	}
	b, err := cfg.Open(context.Background())
	if err != nil {
		fmt.Println(err)
		return
	}
	store, err := expiry.NewStore[string](b, &expiry.StoreOptions{TTL: time.Hour, Seal: cfg.Keyring(), Purpose: "carts"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(store.Describe().Backend, store.Describe().Labels, cfg.Keyring())
	// Output: file [owner] keyring(2026-11 of ["2026-11"])
}

// A Config prints without its secrets.
func ExampleConfig() {
	environment := map[string]string{"CARTS_URL": "nosuch://ann@host/0", "CARTS_PASSWORD": "secret"}
	cfg, err := config.Read(&config.Options{Prefix: "CARTS_", Getenv: func(name string) string { return environment[name] }})
	fmt.Printf("%+v %v\n", cfg, err)
	_, err = cfg.Open(context.Background())
	fmt.Println(err != nil)
	// Output:
	// config(nosuch://ann:xxxxx@host/0, no seal key) <nil>
	// true
}

// A program that seals does not start without a key.
func ExampleOptions() {
	environment := map[string]string{"CARTS_SEAL_KYE": "a misspelt variable"}
	_, err := config.Read(&config.Options{
		Prefix: "CARTS_", DefaultURL: "file:data", RequireSeal: true,
		Getenv: func(name string) string { return environment[name] },
	})
	fmt.Println(err)
	// Output: Read: invalid argument: neither CARTS_SEAL_KEY nor CARTS_SEAL_KEY_FILE is set
}

func ExampleParseKeyring() {
	ring, err := config.ParseKeyring(`
		# The first key seals, all of them open.
		2026-11:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=
		2026-05:Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=
	`)
	fmt.Println(ring, err)
	_, err = config.ParseKeyring("2026-11:too short")
	fmt.Println(err)
	// Output:
	// keyring(2026-11 of ["2026-05" "2026-11"]) <nil>
	// invalid argument: the secret of line 1 is not 32 bytes in base64
}
