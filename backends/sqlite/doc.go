// Package sqlite keeps records in a table of an SQLite database.
package sqlite
