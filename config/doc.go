// Package config reads from the environment which backend a program uses, and
// takes its secrets from files, as container platforms mount them.
//
//	cfg, err := config.Read(nil)
//	backend, err := cfg.Open(ctx)
//	store, err := expiry.NewStore[Cart](backend, &expiry.StoreOptions{TTL: time.Hour, Seal: cfg.Keyring(), Purpose: "carts"})
//
// A program imports the backends that it may open, as for package backends.
//
// # Variables
//
// The prefix SOJOURN_ may be another one, such as one for each store:
//
//	SOJOURN_URL        the backend's URL: see package backends
//	SOJOURN_PASSWORD   the password for the URL, which has none then
//	SOJOURN_SEAL_KEY   the keys that seal values: see ParseKeyring
//
// For each of them there is a variable that names a file with the value:
// SOJOURN_URL_FILE, SOJOURN_PASSWORD_FILE and SOJOURN_SEAL_KEY_FILE. Prefer
// files for secrets: other processes may read the environment, and programs
// print it. One line break at the end of a file does not count. An empty
// variable counts as missing, but an empty file is an error, and so are both
// variables of a pair.
//
// A password is given as it is, without the escapes of URLs. A URL whose
// backend takes no password, such as one of files, is refused with one. The
// credentials of S3 and DynamoDB come from the usual places of AWS. The API key
// of Elasticsearch may be in ELASTICSEARCH_API_KEY.
//
// # Secrets
//
// A Config prints without its secrets, whatever prints it, and also as a field
// of another type. Errors name variables, files and lines, and quote none of
// their values.
package config
