package main

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sojourn-go/sojourn/backends"
)

// section is what the page says about one backend besides its parameters.
type section struct {
	folder  string // below backends
	title   string
	schemes []string
	forms   []string
	text    string
}

var sections = []section{
	{"memory", "Memory", []string{"memory"}, []string{"memory:"}, "Each opening is a store of its own."},
	{"file", "Files", []string{"file"}, []string{"file:data?name=carts", "file:/var/lib/app?name=carts"}, "A directory without a slash in front is below the working directory."},
	{
		"redis", "Redis", []string{"redis", "rediss", "redis+unix", "redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel"},
		[]string{
			"redis://user:password@host:6379/0?name=carts", "redis+cluster://user:password@host1:6379,host2:6379?name=carts",
			"redis+sentinel://user:password@sentinel1:26379,sentinel2:26379/0?master=mymaster&name=carts", "redis+unix://user:password@/run/redis.sock?db=0&name=carts",
		},
		"With rediss the connections use TLS. Several hosts in a URL of redis or rediss are the nodes of a cluster.",
	},
	{
		"mongo", "MongoDB", []string{"mongodb", "mongodb+srv"},
		[]string{"mongodb://user:password@host1:27017,host2:27017/database?collection=carts", "mongodb+srv://user:password@cluster.example.com/database"},
		"The part before the parameters is as in MongoDB's own URLs.",
	},
	{
		"dynamodb", "DynamoDB", []string{"dynamodb"}, []string{"dynamodb://table?region=eu-west-1"},
		"Credentials come from the usual places of AWS: the environment, shared files and the machine's role.",
	},
	{
		"elasticsearch", "Elasticsearch", []string{"elasticsearch", "elasticsearch+https"},
		[]string{"elasticsearch+https://user:password@host1:9200,host2:9200/index", "elasticsearch://host/index"},
		"The default port is 9200, with https 443. The default index is sojourn. Without a user and a key, the environment may have " +
			"`ELASTICSEARCH_API_KEY`, or `ELASTICSEARCH_USERNAME` and `ELASTICSEARCH_PASSWORD`.",
	},
	{
		"s3", "S3", []string{"s3"}, []string{"s3://bucket/prefix?region=eu-west-1", "s3://bucket?endpoint=http://localhost:9000&region=us-east-1"},
		"The default prefix is sojourn. Credentials come from the usual places of AWS.",
	},
	{
		"postgres", "PostgreSQL", []string{"postgres", "postgresql"},
		[]string{"postgres://user:password@host1:5432,host2:5432/database?table=carts"},
		"The environment (PGPASSWORD and others) gives what the URL leaves out.",
	},
	{
		"bbolt", "bbolt", []string{"bbolt"}, []string{"bbolt:app.db?bucket=carts", "bbolt:/var/lib/app.db?bucket=carts"},
		"A file without a slash in front is below the working directory. One process alone can open it.",
	},
	{
		"sqlite", "SQLite", []string{"sqlite"}, []string{"sqlite:app.db?table=carts", "sqlite:/var/lib/app.db?table=carts"},
		"A file without a slash in front is below the working directory. Several processes of one machine can open it.",
	},
}

const intro = `# URLs of backends

<!-- Written by make generate: change the comments of the options, or internal/tools/urldoc. -->

` + "`backends.Open`" + ` opens a backend by its URL. Package ` + "`config`" + ` reads the URL, the password apart from it, and seal keys from the environment and from files.

- A parameter that is unknown or given twice is an error.
- A **switch** is true or false. A **duration** is such as 90s or 1h30m, and may be negative. A **mode** of a file has octal digits, such as 0640. **Names** are separated by commas; an empty value means none.
- In a user's name, a password and a parameter, the signs / ? # @ & % are written %2F %3F %23 %40 %26 %25.
- Commas separate several hosts. Each may have a port.
- Errors and logs never have a password: ` + "`backends.Redact`" + ` removes it from a URL.
`

// Page returns the page, for the module in that folder.
func Page(ctx context.Context, root string) (string, error) {
	known := registry{}
	known.add(backends.Schemes(), backends.ParamsOf)
	nested, err := modules(root)
	if err != nil {
		return "", err
	}
	for _, folder := range nested {
		if err := known.ask(ctx, filepath.Join(root, "backends"), folder); err != nil {
			return "", fmt.Errorf("backends/%s: %w", folder, err)
		}
	}
	return known.page(root, nested)
}

// page returns the page of all schemes that are known.
func (r registry) page(root string, nested []string) (string, error) {
	var out strings.Builder
	out.WriteString(intro)
	left := slices.Sorted(maps.Keys(r))
	for _, s := range sections {
		fields, err := comments(filepath.Join(root, "backends", s.folder, "options.go"))
		if err != nil {
			return "", err
		}
		if slices.Contains(nested, s.folder) {
			s.text += " It is a Go module of its own, `" + module + "/backends/" + s.folder + "`."
		}
		fmt.Fprintf(&out, "\n## %s\n\n```\n%s\n```\n\n%s\n", s.title, strings.Join(s.forms, "\n"), s.text)
		if err := r.table(&out, s.schemes, fields); err != nil {
			return "", fmt.Errorf("%s: %w", s.folder, err)
		}
		left = slices.DeleteFunc(left, func(scheme string) bool { return slices.Contains(s.schemes, scheme) })
	}
	if len(left) > 0 {
		return "", fmt.Errorf("no section for the schemes %v: add one to internal/tools/urldoc", left)
	}
	return out.String(), nil
}

// table writes the backend's own parameters as a table, and those that it
// passes to its client's library as a list.
func (r registry) table(out *strings.Builder, schemes []string, fields map[string]string) error {
	out.WriteString("\n| parameter | value | meaning |\n|---|---|---|\n")
	passed := map[string][]string{}
	var code []string
	for _, p := range r.union(schemes) {
		text := p.Doc
		if p.Field != "" {
			if text = fields[p.Field]; text == "" {
				return fmt.Errorf("the field Options.%s has no comment", p.Field)
			}
		}
		library, isPassed := strings.CutPrefix(text, "An option of ")
		switch {
		case p.Name == "":
			code = append(code, "`Options."+p.Field+"`")
		case isPassed:
			passed[library] = append(passed[library], "`"+p.Name+"`"+p.only(" (", ")"))
		default:
			fmt.Fprintf(out, "| `%s` | %s | %s |\n", p.Name, p.Form, strings.ReplaceAll(text+p.only(" Only with ", "."), "|", `\|`))
		}
	}
	for _, library := range slices.Sorted(maps.Keys(passed)) {
		fmt.Fprintf(out, "\nOptions of %s %s.\n", strings.TrimSuffix(library, ".")+":", strings.Join(passed[library], ", "))
	}
	if len(code) > 0 {
		fmt.Fprintf(out, "\nOnly code can set %s: a URL has no form for its type.\n", strings.Join(code, ", "))
	}
	return nil
}

// param is a parameter that some schemes have.
type param struct {
	backends.Param
	schemes []string // empty: all of the backend
}

// only names the schemes between two texts.
func (p *param) only(before, after string) string {
	if len(p.schemes) == 0 {
		return ""
	}
	return before + strings.Join(p.schemes, ", ") + after
}

// union returns the parameters of all schemes.
func (r registry) union(schemes []string) []*param {
	var all []*param
	for _, scheme := range schemes {
		for _, p := range r[scheme] {
			at := slices.IndexFunc(all, func(q *param) bool { return q.Name == p.Name && q.Field == p.Field })
			if at < 0 {
				at = len(all)
				all = append(all, &param{Param: p})
			}
			all[at].schemes = append(all[at].schemes, scheme)
		}
	}
	for _, p := range all {
		if len(p.schemes) == len(schemes) {
			p.schemes = nil
		}
	}
	return all
}

// comments returns the comments of the fields of the type Options in a file, and
// of other types whose names end so, each as one line.
func comments(file string) (map[string]string, error) {
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		return nil, err
	}
	fields := map[string]string{}
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || !strings.HasSuffix(spec.Name.Name, "Options") {
			return true
		}
		if s, ok := spec.Type.(*ast.StructType); ok {
			for _, field := range s.Fields.List {
				for _, name := range field.Names {
					fields[name.Name] = strings.Join(strings.Fields(field.Doc.Text()), " ")
				}
			}
		}
		return false
	})
	return fields, nil
}
